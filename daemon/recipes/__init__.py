"""Bundles made of other people's encoders: the recipe, its sources, and the head and manifest that come of it."""
