"""`narrows verify`: is a stream whole, and does it decode to what it should?"""

from __future__ import annotations

import argparse
import sys

from narrows.cli import options
from narrows.cli.outcome import DONE, NO, for_each
from narrows.cli.terminal import Terminal, plural, printable
from narrows.cli.work import watched
from narrows.errors import OptionError

NAME = "verify"
USAGE = "narrows verify INPUT... [--against ORIGINAL] [--json]"
SUMMARY = "check every checksum, decode all, compare with the original"
EXAMPLES = """\
  narrows verify *.nrws                          exit code 1 if any is damaged
  narrows verify scan.tif.nrws --against scan.tif"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `verify` takes."""
    options.add_inputs(parser, "a stream")
    parser.add_argument("--against", metavar="ORIGINAL", help="a file whose samples must come back")
    options.add_work(parser)
    options.add_talk(parser, json=True)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Verify every input: 0 if all are sound, 1 if one is damaged or differs."""
    if args.against is not None and len(args.inputs) > 1:
        raise OptionError("--against takes one input")
    limits, threads = options.limits(args), options.threads(args, terminal)

    def verify(source: str) -> int:
        import narrows

        given = sys.stdin.buffer if source == "-" else source
        found = watched(
            terminal,
            f"verifying {source}",
            lambda: narrows.verify(given, args.against, threads=threads, limits=limits),
        )
        if args.json:
            terminal.json(
                "narrows.verify/1",
                input=source,
                ok=found.ok,
                problems=list(found.problems),
                num_chunks=found.num_chunks,
                samples_match=found.samples_match,
                max_difference=found.max_difference,
            )
        elif found.ok:
            parts = [printable(source), "ok", plural(found.num_chunks, "chunk")]
            parts += ["decoded samples match"] if found.samples_match else []
            parts += ["same as the original"] if args.against is not None else []
            if not terminal.quiet:
                terminal.result("  ".join(parts))
        else:
            for problem in found.problems:
                terminal.result(f"{printable(source)}  failed  {printable(problem)}")
            if found.max_difference is not None:
                terminal.result(f"{printable(source)}  largest difference {found.max_difference:g}")
        return DONE if found.ok else NO

    return for_each(terminal, args.inputs, verify)
