"""The running daemon, and the only place that composes one."""
