"""Files that are played as cameras and microphones."""
