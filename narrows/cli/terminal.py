"""Talk: stdout is data, stderr is everything else. Messages, progress, numbers."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

_PROGRESS_AFTER_S = 1.0


class Terminal:
    """Where a command's words go. One for each run of `main`."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, progress: bool = True) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._progress = progress and not quiet and sys.stderr.isatty()
        self._drawn = False
        self._began_s = time.monotonic()

    def result(self, text: str) -> None:
        """Print what was asked for."""
        self.clear()
        print(text, file=sys.stdout, flush=True)

    def json(self, schema: str, **values: Any) -> None:
        """Print one JSON object on one line, its schema first."""
        self.result(json.dumps({"schema": schema, **values}, ensure_ascii=False))

    def note(self, text: str) -> None:
        """Say what was done, unless quiet."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """Say more, if asked to with -v."""
        if self.verbose:
            self._say(text)

    def warn(self, text: str) -> None:
        """Say that something was passed over."""
        self._say(f"narrows: {_colored('warning:', '33')} {text}")

    def error(self, text: str, hint: str | None = None) -> None:
        """Say in one line what is wrong, and in at most one more what to do."""
        self._say(f"narrows: {_colored('error:', '31')} {text}")
        if hint:
            self._say(f"narrows: {_colored('hint:', '36')} {hint}")

    def progress(self, text: str) -> None:
        """Draw one line that is drawn over, on a terminal, once a second has passed."""
        elapsed_s = time.monotonic() - self._began_s
        if self._progress and elapsed_s > _PROGRESS_AFTER_S:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            line = f"{printable(text)}  {elapsed_s:.0f} s"
            print(f"\r\x1b[2K{line[: columns - 1]}", end="", file=sys.stderr, flush=True)
            self._drawn = True

    def clear(self) -> None:
        """Take the progress line away; the next one waits a second again."""
        if self._drawn:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
        self._drawn = False
        self._began_s = time.monotonic()

    def _say(self, text: str) -> None:
        self.clear()
        print(text, file=sys.stderr, flush=True)


def _colored(word: str, color: str) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return word if plain else f"\x1b[1;{color}m{word}\x1b[0m"


def printable(text: str) -> str:
    """Return `text` with whatever could steer a terminal written as escapes: names come from anywhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def plural(count: int, noun: str) -> str:
    """Return `1 chunk`, `2 chunks`.

    >>> from narrows.cli.terminal import plural
    >>> plural(1, "chunk"), plural(1200, "byte")
    ('1 chunk', '1,200 bytes')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def clock(seconds: float) -> str:
    """Return `0.19 s`, `4.2 s`, `75 s`."""
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
