"""Records, ports, errors, time, documents, files, text and logs, used by every room."""
