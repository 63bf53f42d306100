"""The one door to TFLite."""
