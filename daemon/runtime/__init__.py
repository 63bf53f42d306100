"""Threads, bounded queues, supervision and restart with backoff."""
