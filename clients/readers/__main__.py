"""Runs readers one after the other, each on a database of its own: python -m readers SOCKET NAME …, started by run.sh."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from pathlib import Path

from readers.log import Log, Wrong


def main() -> None:
    """Ends with status 1 at the first wrong result."""
    socket, *names = sys.argv[1:]
    for name in names:
        reader = importlib.import_module(f"readers.{name}")
        print(f"\n\033[1m== {reader.NAME}\033[0m", flush=True)
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            try:
                result = reader.read(Log(Path(socket), name, Path(scratch)))
            except Wrong as error:
                sys.exit(f"error: {name}: {error}")
        print(f"   {result}\n   {time.monotonic() - begun:.1f} seconds", flush=True)


if __name__ == "__main__":
    main()
