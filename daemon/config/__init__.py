"""The schema of config.yaml."""
