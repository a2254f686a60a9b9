"""Rounds, in which what is compared takes turns."""

from __future__ import annotations


def rotated(items: list, round_: int) -> list:
    """The items in an order that begins with another one each round, so that none is always first."""
    start = (round_ - 1) % len(items)
    return items[start:] + items[:start]
