#!/usr/bin/env python3
"""generate.py: writes specs/*.spec and expected/*.out; generate.py --check: fails where they are not what it would write."""

import pathlib
import sys

sys.dont_write_bytecode = True

from generator import attaching, deciding, first_sights, reading, watching

HOME = pathlib.Path(__file__).resolve().parent


def files():
    for subject in [watching, attaching, deciding, first_sights, reading]:
        for spec in subject.specs():
            yield HOME / "specs" / f"{spec.name}.spec", spec.text()
            yield HOME / "expected" / f"{spec.name}.out", spec.expected()


def main():
    wanted = dict(files())
    there = {*HOME.glob("specs/*.spec"), *HOME.glob("expected/*.out")}
    stale = [path for path, text in wanted.items() if path not in there or path.read_text() != text]
    generated = "# Written by specs/generate.py"
    names = {path.stem for path in HOME.glob("specs/*.spec") if path.read_text().startswith(generated)}
    left_over = [path for path in there if path not in wanted and path.stem in names]
    if sys.argv[1:] == ["--check"]:
        for path in sorted(stale + left_over):
            print(f"{path.relative_to(HOME.parent)} is not what specs/generate.py writes", file=sys.stderr)
        sys.exit(1 if stale or left_over else 0)
    for path in left_over:
        path.unlink()
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path])


if __name__ == "__main__":
    main()
