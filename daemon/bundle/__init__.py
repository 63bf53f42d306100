"""The schema of a bundle and of its release, and the directory that holds them."""
