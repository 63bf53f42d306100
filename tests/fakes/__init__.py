"""Fakes that implement the real ports."""
