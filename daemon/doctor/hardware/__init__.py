"""The report of a machine for an issue: what it is, what ran on it and how fast, and nothing of who owns it."""
