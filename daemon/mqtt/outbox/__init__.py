"""Events that the broker has not acknowledged, on disk."""
