"""Fetches releases of a source that The Update Framework signs; runs in child processes."""
