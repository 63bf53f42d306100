"""What the daemon says of its own state."""
