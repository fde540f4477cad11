"""The whole deployment, every part real, seen from outside."""
