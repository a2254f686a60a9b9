"""Writes the permutation specs and what must come of them."""
