"""Cameras and servers that send HLS."""
