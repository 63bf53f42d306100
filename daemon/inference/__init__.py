"""Runs TFLite models, on the CPU and on accelerators, and writes small graphs."""
