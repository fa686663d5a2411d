"""`narrows encode`: any file to a `.nrws` stream."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from narrows.cli import describe, options
from narrows.cli.outcome import DONE, for_each
from narrows.cli.targets import Targets, encoded_name
from narrows.cli.terminal import Terminal, clock, plural, printable
from narrows.cli.work import watched
from narrows.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

    from narrows.api import Info

NAME = "encode"
USAGE = "narrows encode INPUT... [-o OUT] [-q N | --bpp X | --lossless] [options]"
SUMMARY = "encode files: pictures as pictures, all else byte for byte"
EXAMPLES = """\
  narrows encode photo.png                       photo.png.nrws, quality 75
  narrows encode photo.jpg -q 60 -o small.nrws
  narrows encode scan.tif --lossless
  narrows encode photo.png --bpp 0.5             as much as half a bit a pixel pays for
  narrows encode *.png --output-dir out -q 80
  narrows encode photo.png --codec wave:quality=60,tune=ms-ssim
  narrows encode photo.png --as bytes            the file itself, not the picture in it
  tar c folder | narrows encode - > folder.tar.nrws"""
_CODEC_OPTIONS = ("quality", "bpp", "kbps", "target_psnr", "lossless", "effort", "tune")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `encode` takes."""
    options.add_inputs(parser, "a file")
    group = parser.add_argument_group("codec")
    rates = group.add_mutually_exclusive_group()
    rates.add_argument(
        "-q", "--quality", metavar="N", help="0 to 100, larger is better; 100 is lossless (default 75)"
    )
    rates.add_argument("--bpp", metavar="X", help="bits per pixel")
    rates.add_argument("--kbps", metavar="X", help="kilobits per second")
    rates.add_argument("--target-psnr", metavar="DB", help="at least this peak signal-to-noise ratio")
    rates.add_argument(
        "--lossless", action="store_const", const="true", help="exactly the input's samples come back"
    )
    group.add_argument("--effort", metavar="N", help="0 to 9: the encoder's time")
    group.add_argument("--tune", metavar="METRIC", help="what quality means: psnr or ms-ssim")
    group.add_argument("--codec", metavar="NAME[:opt=val,...]", help="instead of the one for the content")
    group.add_argument(
        "--as", dest="as_medium", metavar="MEDIUM", help="take the input as image, audio or bytes"
    )
    group.add_argument("--strip", action="store_true", help="leave out EXIF, XMP and tags; ICC stays")
    group.add_argument("--check", action="store_true", help="add a digest of the decoded samples")
    options.add_outputs(parser)
    options.add_work(parser)
    options.add_talk(parser, json=True)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Encode every input."""
    targets = Targets(args.inputs, args.output, args.output_dir, args.force)
    chosen = _chosen(args)
    limits, threads = options.limits(args), options.threads(args, terminal)

    def encode(source: str) -> int:
        import narrows

        began_s = time.monotonic()
        to_stdout = targets.to_stdout(source)
        if to_stdout and args.json:
            raise OptionError("stdout has the stream: --json needs -o FILE")
        place: Path | BinaryIO = (
            sys.stdout.buffer if to_stdout else targets.path(source, encoded_name(source))
        )

        def work() -> Info:
            return narrows.encode_file(
                sys.stdin.buffer if source == "-" else source,
                place,
                args.codec,
                as_medium=args.as_medium,
                force=args.force,
                threads=threads,
                limits=limits,
                check=args.check,
                strip=args.strip,
                **chosen,
            )

        info = watched(terminal, f"encoding {source}", work)
        seconds = time.monotonic() - began_s
        name = "stdout" if to_stdout else str(place)
        if args.json:
            values = {"input": source, "output": name, **describe.fields(info), "seconds": round(seconds, 3)}
            terminal.json("narrows.encode/1", **values)
        else:
            terminal.note(f"{printable(name)}  {_summary(info)}  {clock(seconds)}")
        return DONE

    return for_each(terminal, args.inputs, encode)


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    """Return the codec's options that were given, as text: the codec knows their types."""
    given = {name: getattr(args, name) for name in _CODEC_OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def _summary(info: Info) -> str:
    if info.media == "bytes":
        parts = [f"{info.dims['size']:,} -> {plural(info.num_bytes, 'byte')}"]
    else:
        parts = [describe.size(info), plural(info.num_bytes, "byte")]
    return "  ".join(filter(None, [*parts, describe.rate(info), info.codec]))
