"""The commands of `perceptd`: one module per command, with its arguments and its words."""
