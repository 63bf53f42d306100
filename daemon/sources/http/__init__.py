"""Cameras over HTTP: MJPEG and still pictures, and the HTTP connection to a camera."""
