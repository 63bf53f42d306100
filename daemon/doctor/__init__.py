"""What `perceptd doctor` looks at: this machine, its libraries and its accelerators; nothing heavy is imported here."""
