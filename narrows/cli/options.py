"""Options that several commands share, and the values that only text has: 4M, 1/8, 0,0,640,480."""

from __future__ import annotations

import argparse
import dataclasses
import os
from fractions import Fraction
from typing import Any

from narrows.cli.terminal import Terminal
from narrows.limits import Limits

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def add_inputs(parser: argparse.ArgumentParser, what: str) -> None:
    """Add INPUT..."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=f"{what}; - is stdin")


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add where output goes."""
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="PATH", help="the output of one input; - is stdout")
    group.add_argument("--output-dir", metavar="DIR", help="a folder for the outputs of many inputs")
    group.add_argument("-f", "--force", action="store_true", help="overwrite")


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add threads and limits."""
    group = parser.add_argument_group("work")
    group.add_argument(
        "-T", "--threads", type=_count, metavar="N", help="0 is all, the default; results do not depend on it"
    )
    group = parser.add_argument_group("limits", "What a decoder may take: 65535, 64K, 2G ...")
    for field in dataclasses.fields(Limits):
        option = "--" + field.name.replace("_", "-")
        group.add_argument(option, type=_size_of(field.name), metavar="N", help=f"default {field.default:,}")


def add_talk(parser: argparse.ArgumentParser, *, json: bool = False) -> None:
    """Add how much is said."""
    group = parser.add_argument_group("messages")
    if json:
        group.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    group.add_argument("--quiet", action="store_true", help="errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="more detail")
    group.add_argument("--no-progress", action="store_true", help="no progress line")


def limits(args: argparse.Namespace) -> Limits:
    """Return the limits with what was given on the command line."""
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(Limits)}
    return Limits(**{name: value for name, value in given.items() if value is not None})


def threads(args: argparse.Namespace, terminal: Terminal) -> int:
    """Return the number of threads: the option, else NARROWS_THREADS, else one for each CPU."""
    chosen = args.threads
    if chosen is None and (text := os.environ.get("NARROWS_THREADS")):
        try:
            chosen = _count(text)
        except ValueError:
            terminal.warn(f"NARROWS_THREADS={text} is not a number of threads; ignored")
    affinity = getattr(os, "sched_getaffinity", None)
    return chosen or (len(affinity(0)) if affinity else os.cpu_count() or 1)


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 1024:
        raise ValueError(text)
    return value


def _size_of(name: str) -> Any:
    """Return a reader of 1234, 64M, 2G: powers of 1,024 where the limit counts bytes, else of 1,000."""
    unit = 1024 if name.endswith("_bytes") else 1000

    def size(text: str) -> int:
        letters = text.lower().removesuffix("ib").removesuffix("b").lstrip("0123456789_,.")
        if letters not in _POWERS:
            raise ValueError(text)
        number = text[: len(text) - len(text.lstrip("0123456789_,."))].replace(",", "")
        return int(Fraction(number) * unit ** _POWERS[letters])

    return size


def scale(text: str) -> Fraction:
    """Read 1/8, 0.125 or 1."""
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise ValueError(text) from None


def region(text: str) -> tuple[int, int, int, int]:
    """Read X,Y,WIDTH,HEIGHT."""
    x, y, width, height = (int(part) for part in text.split(","))
    return x, y, width, height
