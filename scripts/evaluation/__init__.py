"""Measures a bundle on held-out data; run by scripts/evaluate-digits."""
