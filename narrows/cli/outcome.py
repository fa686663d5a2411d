"""What became of a command: exit codes, and every exception as one line."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable

from narrows.cli.terminal import Terminal, printable
from narrows.errors import NarrowsError

DONE, NO, COULD_NOT, BUG, INTERRUPTED, READER_GONE = 0, 1, 2, 3, 130, 141


def report(terminal: Terminal, subject: str | None, error: BaseException) -> int:
    """Say what went wrong with `subject`, if it is to be said, and return the exit code."""
    if os.environ.get("NARROWS_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        terminal.clear()
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return READER_GONE
    if isinstance(error, NarrowsError):
        message, hint, code = str(error), error.hint, COULD_NOT
    elif isinstance(error, FileExistsError):
        subject, message, hint, code = None, f"{error.filename} exists", "-f overwrites", COULD_NOT
    elif isinstance(error, OSError):
        subject = error.filename if isinstance(error.filename, str) else subject
        text = error.strerror or str(error) or type(error).__name__
        message, hint, code = text[:1].lower() + text[1:], None, COULD_NOT
    elif isinstance(error, MemoryError):
        message, hint, code = "not enough memory", None, COULD_NOT
    else:
        message = f"{type(error).__name__}: {error} (this is a bug of narrows)"
        hint, code = "NARROWS_DEBUG=1 shows where; please report it", BUG
    if hint and hint in message:
        hint = None
    where = "" if subject is None else f"{'stdin' if subject == '-' else printable(subject)}: "
    terminal.error(f"{where}{printable(message)}", None if hint is None else printable(hint))
    return code


def for_each(terminal: Terminal, inputs: Iterable[str], work: Callable[[str], int]) -> int:
    """Do `work` for each input; a failure is reported and the rest goes on. Return the worst exit code."""
    worst = DONE
    for source in inputs:
        try:
            worst = max(worst, work(source))
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            worst = max(worst, report(terminal, source, error))
    return worst
