"""Plays files."""
