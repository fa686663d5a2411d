"""Long work that Ctrl-C ends at once and a progress line accompanies."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from narrows.cli.outcome import INTERRUPTED
from narrows.cli.terminal import Terminal

T = TypeVar("T")
_DRAW_EVERY_S = 0.25


def watched(terminal: Terminal, what: str, work: Callable[[], T]) -> T:
    """Return `work()`, done in a thread of its own while this one draws progress and hears signals.

    The core may compute for a minute without coming back to Python, and Ctrl-C would wait for it. Here it
    removes the parts of outputs under way and ends the process with the exit code of the signal.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=run, name="narrows-work", daemon=True)
    try:
        worker.start()
        while worker.is_alive():
            worker.join(_DRAW_EVERY_S)
            if worker.is_alive():
                terminal.progress(what)
    except (KeyboardInterrupt, SystemExit) as stop:
        _leave(terminal, stop)
    terminal.clear()
    if failures:
        raise failures[0]
    return results[0]


def _leave(terminal: Terminal, stop: BaseException) -> None:
    from narrows.files.output import discard_parts

    discard_parts()
    terminal.clear()
    code = stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else INTERRUPTED
    # Not sys.exit: that would wait for, or pull the ground from under, a thread that is inside the core.
    sys.stderr.flush()
    os._exit(code)
