"""The page: a process of its own that shows the node to a person, and takes what the person asks for."""
