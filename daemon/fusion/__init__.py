"""From embeddings to moments, recognitions and events."""
