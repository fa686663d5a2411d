"""`narrows info`: what a stream is, without decoding it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from narrows.cli import describe, options
from narrows.cli.outcome import DONE, for_each
from narrows.cli.terminal import Terminal, printable

if TYPE_CHECKING:
    from narrows.container import ChunkInfo

NAME = "info"
USAGE = "narrows info INPUT... [--chunks] [--json]"
SUMMARY = "say what streams are, without decoding them"
EXAMPLES = """\
  narrows info photo.png.nrws
  narrows info *.nrws --json | jq .dims.width
  narrows info photo.png.nrws --chunks"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `info` takes."""
    options.add_inputs(parser, "a stream")
    parser.add_argument("--chunks", action="store_true", help="list the chunks as well")
    options.add_work(parser)
    options.add_talk(parser, json=True)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Describe every input."""
    limits = options.limits(args)

    def describe_one(source: str) -> int:
        import narrows
        from narrows import files

        with files.opened(sys.stdin.buffer if source == "-" else source, limits) as file:
            found = narrows.info(file, limits=limits)
        if args.json:
            values = {"input": source, **describe.fields(found)}
            if args.chunks:
                values["chunks"] = [_fields(chunk) for chunk in found.chunks]
            terminal.json("narrows.info/1", **values)
            return DONE
        name = f"{printable(source)}: " if len(args.inputs) > 1 else ""
        terminal.result(name + describe.line(found))
        if args.chunks:
            terminal.result(f"{'chunk':>5} {'type':<5} {'offset':>13} {'bytes':>13} {'layer':>5}  covers")
        for number, chunk in enumerate(found.chunks if args.chunks else ()):
            terminal.result(_row(number, chunk))
        return DONE

    return for_each(terminal, args.inputs, describe_one)


def _row(number: int, chunk: ChunkInfo) -> str:
    covers = f"{chunk.first:,} ... {chunk.first + chunk.count - 1:,}" if chunk.count else ""
    layer = str(chunk.layer) if chunk.count else ""
    return (
        f"{number:>5} {chunk.name:<5} {chunk.offset:>13,} {chunk.length:>13,} {layer:>5}  {covers}".rstrip()
    )


def _fields(chunk: ChunkInfo) -> dict[str, Any]:
    return {
        "type": chunk.name,
        "offset_bytes": chunk.offset,
        "length_bytes": chunk.length,
        "track": chunk.track,
        "layer": chunk.layer,
        "first": chunk.first,
        "count": chunk.count,
    }
