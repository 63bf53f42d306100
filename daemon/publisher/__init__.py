"""Makes and signs the repository from which devices fetch bundles. No device runs it."""
