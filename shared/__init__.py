"""What more than one service needs; nothing here knows a service."""
