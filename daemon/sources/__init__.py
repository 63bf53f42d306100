"""Delivers frames, blocks of sound and lines from cameras, microphones, text inlets and recordings."""
