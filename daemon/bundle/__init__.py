"""The schema and directory of a bundle, and the schema of a signed release."""
