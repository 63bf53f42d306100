"""Records, ports, errors, time, documents, files, text and logs: what every room uses."""
