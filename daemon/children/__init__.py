"""Small programs around native code that can hang or abort, run in child processes; and what they say to the daemon."""
