"""A setup that finds what is there, asks for the rest, and writes a config."""
