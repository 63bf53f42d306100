"""Makes what is installed: Debian packages, an apt repository, an image, and the evidence that comes with them."""
