"""Computes the numbers of the recipe of `home` from ESC-10, folds 1 and 2, and from material of our own."""
