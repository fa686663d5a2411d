"""`narrows decode`: a `.nrws` stream back to a file."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, BinaryIO

from narrows.cli import options
from narrows.cli.outcome import DONE, NO, for_each
from narrows.cli.targets import Targets, decoded_name
from narrows.cli.terminal import Terminal, clock, plural, printable
from narrows.cli.work import watched

if TYPE_CHECKING:
    from pathlib import Path

    from narrows.errors import CorruptStream

NAME = "decode"
USAGE = "narrows decode INPUT... [-o OUT] [--scale 1/N] [--partial] [options]"
SUMMARY = "decode streams, whole or in part"
EXAMPLES = """\
  narrows decode photo.jpg.nrws                  photo.png: .jpg would lose a second time
  narrows decode photo.jpg.nrws -o photo.webp
  narrows decode photo.jpg.nrws --scale 1/8 -o small.png
  narrows decode notes.txt.nrws                  notes.txt
  narrows decode cut.nrws --partial -o half.png  what is whole of a damaged stream; exit code 1
  ssh host cat folder.tar.nrws | narrows decode - | tar x"""
_PLAIN_EXTENSIONS = {"image": ".png", "audio": ".wav"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `decode` takes."""
    options.add_inputs(parser, "a stream")
    group = parser.add_argument_group("part")
    group.add_argument(
        "--scale", type=options.scale, default=1, metavar="1/N", help="a smaller picture: 1/2, 1/4, 1/8 ..."
    )
    group.add_argument("--start", type=float, metavar="S", help="first second of sound, row, byte ...")
    group.add_argument("--stop", type=float, metavar="S", help="one past the last")
    group.add_argument("--region", type=options.region, metavar="X,Y,W,H", help="a rectangle of a picture")
    group.add_argument("--partial", action="store_true", help="what is whole of a damaged stream")
    options.add_outputs(parser)
    options.add_work(parser)
    options.add_talk(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Decode every input."""
    targets = Targets(args.inputs, args.output, args.output_dir, args.force)
    limits, threads = options.limits(args), options.threads(args, terminal)

    def decode(source: str) -> int:
        import narrows

        began_s = time.monotonic()
        to_stdout = targets.to_stdout(source)
        place: Path | BinaryIO = sys.stdout.buffer
        if not to_stdout:
            name = ""
            if args.output is None:
                with narrows.open(source, limits=limits, partial=args.partial) as stream:
                    medium = stream.header.media.name.lower()
                name = decoded_name(source, _PLAIN_EXTENSIONS.get(medium, ""))
            place = targets.path(source, name)

        def work() -> list[CorruptStream]:
            return narrows.decode_file(
                sys.stdin.buffer if source == "-" else source,
                place,
                scale=args.scale,
                start=args.start,
                stop=args.stop,
                region=args.region,
                force=args.force,
                threads=threads,
                limits=limits,
                partial=args.partial,
            )

        damage = watched(terminal, f"decoding {source}", work)
        for error in damage:
            terminal.warn(f"{printable(source)}: {printable(str(error))}")
        seconds = time.monotonic() - began_s
        if not to_stdout:
            size = plural(targets.size(place), "byte")
            terminal.note(f"{printable(str(place))}  {size}  {clock(seconds)}")
        return NO if damage else DONE

    return for_each(terminal, args.inputs, decode)
