"""Turns what is captured into recognitions: gates, encoder pool, lanes and fusion, live or in order."""
