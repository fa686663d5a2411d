"""`narrows`: parses the command line, runs one command, turns what went wrong into one line and an exit code.

0 done; 1 ran, and the answer is no; 2 could not; 3 a bug of ours; 130 Ctrl-C; 141 the reader went away.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import warnings
from types import FrameType
from typing import NoReturn

from narrows.cli import (
    bench,
    decode,
    demo,
    detokenize,
    encode,
    info,
    models,
    stream,
    tokenize,
    train,
    verify,
)
from narrows.cli import list as list_
from narrows.cli.outcome import COULD_NOT, DONE, READER_GONE, report
from narrows.cli.terminal import Terminal, printable
from narrows.errors import OptionError

_COMMANDS = (encode, decode, info, verify, models, list_, tokenize, detokenize, stream, bench, train, demo)
_EXAMPLES = """\
examples:
  narrows encode photo.png                  photo.png.nrws, quality 75
  narrows encode -q 60 *.jpg --output-dir out
  narrows encode --lossless scan.png -o - | ssh host 'cat > scan.nrws'
  narrows decode photo.png.nrws             photo.png
  narrows decode photo.png.nrws --scale 1/8 -o small.png
  narrows info photo.png.nrws               what it is, without decoding it
  narrows verify *.nrws                     every checksum, and a full decode
  narrows demo                              a minute's tour

exit codes: 0 done, 1 the answer is no, 2 could not, 3 a bug, 130 interrupted, 141 the reader went away"""


class _Parser(argparse.ArgumentParser):
    """A parser that complains as every other part does: one line and a hint."""

    def error(self, message: str) -> NoReturn:
        Terminal().error(printable(message), f"{self.prog} --help shows how")
        raise SystemExit(COULD_NOT)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import narrows
        from narrows import _core

        print(f"narrows {narrows.__version__}  format 1  core {_core.isa()}")
        raise SystemExit(DONE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="narrows",
        description="Encode pictures, sounds and any file into small .nrws streams, and back.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", nargs=0, action=_Version, help="print package, format, core")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for module in _COMMANDS:
        name, summary, examples = module.NAME, module.SUMMARY, module.EXAMPLES
        command = commands.add_parser(
            name,
            usage=module.USAGE,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"examples:\n{examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run `narrows` with `argv` (default: the process's) and return its exit code."""
    for out in (sys.stdout, sys.stderr):
        if hasattr(out, "reconfigure"):
            out.reconfigure(errors="backslashreplace")
    if not os.environ.get("NARROWS_DEBUG"):
        warnings.simplefilter("ignore")  # libraries' asides about a damaged file; our own go through Terminal
    terminal = Terminal()
    try:
        with _ended_politely():
            args = _parser().parse_args(argv)
            terminal = Terminal(
                quiet=getattr(args, "quiet", False),
                verbose=getattr(args, "verbose", False),
                progress=not getattr(args, "no_progress", False),
            )
            _check_environment(terminal)
            code = int(args.run(args, terminal))
            sys.stdout.flush()
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else COULD_NOT
        code = _flush_quietly(code)
    except BaseException as error:
        code = report(terminal, None, error)
        code = _flush_quietly(code)
    return code


def _check_environment(terminal: Terminal) -> None:
    """Warn of an instruction set that does not exist; refuse one that this CPU does not have."""
    if isa := os.environ.get("NARROWS_ISA"):
        from narrows import _core

        known = ("scalar", "avx2", "avx512", "neon")
        if isa not in known:
            terminal.warn(f"NARROWS_ISA={printable(isa)} is none of {', '.join(known)}; ignored")
        elif isa not in _core.available_isas():
            raise OptionError(f"NARROWS_ISA={isa}: this CPU has only {', '.join(_core.available_isas())}")


def _flush_quietly(code: int) -> int:
    """Flush stdout before Python does, so that a closed pipe or full disk is not reported twice."""
    try:
        sys.stdout.flush()
    except OSError as error:
        code = READER_GONE if isinstance(error, BrokenPipeError) else max(code, COULD_NOT)
        # What is left in the buffer has nowhere to go; without this the interpreter complains at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


class _ended_politely(contextlib.AbstractContextManager[None]):
    """Take SIGTERM and SIGHUP as Ctrl-C is taken, so that parts are removed; exit with 128 + the signal."""

    def __enter__(self) -> None:
        def end(number: int, frame: FrameType | None) -> None:
            raise SystemExit(128 + number)

        self._old = {}
        with contextlib.suppress(ValueError):  # not the main thread: someone else's process
            for name in ("SIGTERM", "SIGHUP"):
                if number := getattr(signal, name, None):
                    self._old[number] = signal.signal(number, end)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
