"""Decoders of pictures: FFmpeg's own, and those of the hardware, each in a process of its own."""
