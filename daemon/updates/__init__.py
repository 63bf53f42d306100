"""Replaces bundles: fetches and tests a release, switches to it, and rolls it back if it works worse."""
