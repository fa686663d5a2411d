"""`narrows bench`: how fast and how small, against peers, on this machine."""

from __future__ import annotations

import argparse

from narrows.cli import options
from narrows.cli.outcome import DONE
from narrows.cli.terminal import Terminal
from narrows.errors import OptionError

NAME = "bench"
USAGE = "narrows bench entropy | codecs [NAME...] [--rounds N] [--symbols N] [--json]"
SUMMARY = "measure the entropy coder or codecs on this machine"
EXAMPLES = """\
  narrows bench entropy
  narrows bench entropy w1 w2 --rounds 3 --symbols 1000000
  narrows bench codecs wave bytes --json"""
_LEAST_WIDTH = 10
_WIDTHS = {"case": 14, "coder": 20, "setting": 36, "codec": 14, "sample": 14}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `bench` takes."""
    parser.add_argument("what", choices=("entropy", "codecs"), help="what to measure")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these codecs, or these cases of entropy"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="entropy: rounds in which all coders take turns"
    )
    parser.add_argument("--symbols", type=int, metavar="N", help="entropy: symbols of a workload")
    options.add_talk(parser, json=True)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Measure and print a table, or one JSON object a row."""
    from importlib import import_module

    given = {"rounds": args.rounds, "symbols": args.symbols}
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen and args.what != "entropy":
        raise OptionError("--rounds and --symbols belong to `narrows bench entropy`")
    columns: list[str] = []
    for row in import_module(f"narrows.bench.{args.what}").rows(args.names, **chosen):
        if args.json:
            terminal.json(f"narrows.bench.{args.what}/1", **row)
        elif row.get("case") == "machine":
            for key, value in row.items():
                terminal.result(f"{key:>{_LEAST_WIDTH}}  {_shown(value)}")
        else:
            shown = {key: value for key, value in row.items() if "_least_" not in key}
            if not set(shown) <= set(columns):
                columns = list(shown)
                terminal.result("  ".join(_cell(key, key) for key in columns).rstrip())
            terminal.result("  ".join(_cell(key, shown.get(key, "")) for key in columns).rstrip())
    return DONE


def _cell(column: str, value: object) -> str:
    width = max(len(column), _WIDTHS.get(column, _LEAST_WIDTH))
    return f"{_shown(value):{'<' if column in _WIDTHS else '>'}{width}}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
