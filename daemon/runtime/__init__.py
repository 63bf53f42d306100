"""Threads, child processes, supervision and bounded downloads."""
