"""From frames, sound and lines to embeddings."""
