"""Options that take some of several names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable


def some_of(known: Iterable[str], what: str) -> Callable[[str], list[str]]:
    """Reads names separated by commas, in the order they are given; an error names those there are."""
    known = list(known)

    def read(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {what} {name}; there are {', '.join(known)}")
        return chosen

    return read
