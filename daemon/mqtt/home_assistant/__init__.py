"""The messages that announce a node, its streams and its entities to Home Assistant."""
