"""Turns embeddings into moments, recognitions and events."""
