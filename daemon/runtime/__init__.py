"""Threads, child processes, supervision of sources, and bounded downloads."""
