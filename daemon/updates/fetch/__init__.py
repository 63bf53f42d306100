"""Fetches releases that are signed with The Update Framework; runs in child processes."""
