"""`narrows list`: what is there, what is missing and how to get it."""

from __future__ import annotations

import argparse

from narrows.cli import options
from narrows.cli.outcome import DONE
from narrows.cli.terminal import Terminal

NAME = "list"
USAGE = "narrows list [codecs | tokenizers] [--json]"
SUMMARY = "list codecs and tokenizers, and what a missing one needs"
EXAMPLES = """\
  narrows list
  narrows list tokenizers --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `list` takes."""
    parser.add_argument("what", nargs="?", default="codecs", choices=("codecs", "tokenizers"))
    options.add_talk(parser, json=True)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """List them, one a line."""
    import narrows

    found = narrows.list_codecs() if args.what == "codecs" else narrows.list_tokenizers()
    for item in found:
        if args.json:
            terminal.json(
                f"narrows.list.{args.what}/1",
                name=item.name,
                version=item.version,
                signal=item.signal,
                traits=list(item.traits),
                options=dict(item.options),
                problem=item.problem,
                hint=item.hint,
            )
        elif item.problem:
            terminal.result(f"{item.name:<12} missing: {item.problem}; {item.hint}")
        else:
            name = f"{item.name}/{item.version}" if args.what == "codecs" else item.name
            taken = " ".join(f"{key}={_spelled(value)}" for key, value in item.options.items())
            line = f"{name:<12} {item.signal:<9} {' '.join(item.traits)}"
            terminal.result(f"{line}   {taken}".rstrip())
    return DONE


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool | None) else str(value)
