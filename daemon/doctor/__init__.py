"""Checks a machine, and everything that a node on it depends on."""
