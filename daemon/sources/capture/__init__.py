"""Programs that run in child processes and capture one camera or one microphone each."""
