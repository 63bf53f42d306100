"""Measures taught labels: how well they are recognised, how often they start wrongly, what a fit costs."""
