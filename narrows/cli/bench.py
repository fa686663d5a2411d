"""`narrows bench`: how fast and how small, against peers, on this machine."""

from __future__ import annotations

import argparse

from narrows.cli import options
from narrows.cli.outcome import DONE
from narrows.cli.terminal import Terminal

NAME = "bench"
USAGE = "narrows bench entropy | codecs [NAME...] [--json]"
SUMMARY = "measure the entropy coder or codecs on this machine"
EXAMPLES = """\
  narrows bench entropy
  narrows bench codecs wave bytes --json"""
_LEAST_WIDTH = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `bench` takes."""
    parser.add_argument("what", choices=("entropy", "codecs"), help="what to measure")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these codecs")
    options.add_talk(parser, json=True)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Measure and print a table, or one JSON object a row."""
    from importlib import import_module

    rows = import_module(f"narrows.bench.{args.what}").rows(args.names)
    widths: dict[str, int] = {}
    for row in rows:
        if args.json:
            terminal.json(f"narrows.bench.{args.what}/1", **row)
            continue
        if not widths:
            widths = {key: max(len(key), _LEAST_WIDTH) for key in row}
            terminal.result("  ".join(f"{key:>{width}}" for key, width in widths.items()))
        line = (f"{_shown(value):>{widths.get(key, 0)}}" for key, value in row.items())
        terminal.result("  ".join(line).rstrip())
    return DONE


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
