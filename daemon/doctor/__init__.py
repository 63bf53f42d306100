"""Finds what is wrong with a machine and with what a node depends on."""
