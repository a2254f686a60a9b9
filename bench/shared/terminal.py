"""How the benchmarks print figures and what they do."""

from __future__ import annotations


def say(text: str) -> None:
    """Says what begins now, as the scripts do."""
    print(f"\n\033[1m== {text}\033[0m", flush=True)


def number(value: float) -> str:
    """Three digits that count, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
