"""Measures a bundle of household sounds and sights; run by scripts/evaluate-home."""
