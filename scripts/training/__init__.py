"""Trains models/digits; run by scripts/train."""
