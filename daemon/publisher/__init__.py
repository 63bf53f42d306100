"""Makes and signs the repository that bundles are replaced from; runs on the publisher's machine alone."""
