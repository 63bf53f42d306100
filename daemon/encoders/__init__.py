"""Turns frames, sound and lines into embeddings."""
