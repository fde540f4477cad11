"""Where artifacts come from: storage URIs, rclone and its remotes."""
