"""Replaces the active bundle: fetches, verifies, tries and switches to another, and goes back."""
