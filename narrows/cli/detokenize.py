"""`narrows detokenize`: ids back to a picture."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from narrows.cli import options
from narrows.cli.outcome import DONE, for_each
from narrows.cli.targets import Targets
from narrows.cli.terminal import Terminal, printable
from narrows.errors import SignalError

NAME = "detokenize"
USAGE = "narrows detokenize IDS... [-o OUT] [options]"
SUMMARY = "turn ids that tokenize wrote into the signal they stand for"
EXAMPLES = """\
  narrows detokenize photo.png.npz -o back.png
  narrows tokenize photo.png -t vq -o - | narrows detokenize - -o back.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `detokenize` takes."""
    options.add_inputs(parser, "a file of tokenize")
    options.add_outputs(parser)
    options.add_work(parser)
    options.add_talk(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Restore every input."""
    from narrows import files, registry

    targets = Targets(args.inputs, args.output, args.output_dir, args.force)
    limits = options.limits(args)

    def detokenize(source: str) -> int:
        to_stdout = targets.to_stdout(source)
        with files.opened(sys.stdin.buffer if source == "-" else source, limits) as file:
            tokens, name = loaded(file.read())
        signal: Any = registry.tokenizer(name).detokenize(tokens)
        if to_stdout:
            files.write(signal, sys.stdout.buffer, extension=".png", force=args.force)
        else:
            place = targets.path(source, Path(source).with_suffix(".png").name)
            files.write(signal, place, force=args.force)
            terminal.note(f"{printable(str(place))}  {name}")
        return DONE

    return for_each(terminal, args.inputs, detokenize)


def loaded(data: bytes) -> tuple[Any, str]:
    """Return the tokens in a file that `tokenize` wrote, and the tokenizer's name. SignalError for others."""
    import numpy as np

    from narrows.signals import Tokens

    try:
        if data[:1] == b"{":
            meta = json.loads(data)
            ids = np.array(meta.pop("ids"), np.int64)
        elif data[:2] != b"PK":
            raise SignalError("these are no ids that tokenize wrote")
        else:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                ids, meta = arrays["ids"].astype(np.int64), json.loads(str(arrays["meta"]))
        return Tokens(ids, int(meta.pop("vocab_size")), meta), str(meta.pop("tokenizer"))
    except SignalError:
        raise
    except Exception as error:  # whatever NumPy, zipfile and json make of damaged files
        raise SignalError(f"these are no ids that tokenize wrote: {error}") from None
