"""What Home Assistant reads: the messages that announce a node, its streams and its entities."""
