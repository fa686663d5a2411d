"""`narrows tokenize`: pictures to ids or latents."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.cli import options
from narrows.cli.outcome import DONE, for_each
from narrows.cli.targets import Targets
from narrows.cli.terminal import Terminal, plural, printable
from narrows.errors import OptionError, SignalError

if TYPE_CHECKING:
    from narrows.signals import Tokens

NAME = "tokenize"
USAGE = "narrows tokenize INPUT... -t NAME [-q N] [--latents] [-o OUT] [options]"
SUMMARY = "turn pictures into the ids of a tokenizer"
EXAMPLES = """\
  narrows tokenize photo.png -t vq                photo.png.npz: ids, and what detokenize needs
  narrows tokenize photo.png -t bsq -o -          one JSON object on stdout
  narrows tokenize photo.png -t walloc --latents -o photo.npy
  narrows detokenize photo.png.npz -o back.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `tokenize` takes."""
    options.add_inputs(parser, "a picture")
    group = parser.add_argument_group("tokenizer")
    group.add_argument("-t", "--tokenizer", metavar="NAME", required=True, help="see narrows list tokenizers")
    group.add_argument("-q", "--quality", type=float, metavar="N", help="0 to 100 (default 75)")
    group.add_argument(
        "--latents", action="store_true", help="what is before the quantizer: float32 [channels, h, w]"
    )
    options.add_outputs(parser)
    options.add_work(parser)
    options.add_talk(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Tokenize every input."""
    from narrows import files, registry
    from narrows.files.output import atomic

    targets = Targets(args.inputs, args.output, args.output_dir, args.force)
    limits = options.limits(args)
    tokenizer: Any = registry.tokenizer(args.tokenizer)
    suffix = ".npy" if args.latents else ".npz"

    def tokenize(source: str) -> int:
        to_stdout = args.output == "-" or (source == "-" and args.output is None)
        place = None if to_stdout else targets.path(source, Path(source).name + suffix)
        with files.opened(sys.stdin.buffer if source == "-" else source, limits) as file:
            signal = files.read(file, limits=limits, as_medium="image")
        if not isinstance(signal, tokenizer.signal):
            raise SignalError(f"{args.tokenizer} takes {tokenizer.signal.__name__}")
        given = {} if args.quality is None else {"quality": args.quality}
        if args.latents:
            data, said = _array(tokenizer.latents(signal)), "latents"
        else:
            tokens = tokenizer.tokenize(signal, **given)
            form = "jsonl" if to_stdout else (place.suffix.lstrip(".") if place else "")
            data, said = dumped(tokens, args.tokenizer, form), plural(tokens.ids.size, "id")
        if place is None:
            sys.stdout.buffer.write(data)
        else:
            with atomic(place, force=args.force) as out:
                out.write(data)
            terminal.note(f"{printable(str(place))}  {said}")
        return DONE

    return for_each(terminal, args.inputs, tokenize)


def dumped(tokens: Tokens, name: str, form: str) -> bytes:
    """Return tokens as a file: `npz` or `jsonl`, which hold what `detokenize` needs, or `npy`, the ids."""
    if form == "npy":
        return _array(tokens.ids)
    meta = {"tokenizer": name, "vocab_size": tokens.vocab_size, **tokens.meta}
    if form == "jsonl":
        return (
            json.dumps({"schema": "narrows.tokens/1", **meta, "ids": tokens.ids.tolist()}) + "\n"
        ).encode()
    if form != "npz":
        raise OptionError(f"ids are written as .npz, .jsonl or .npy, not .{form}")
    import numpy as np

    out = io.BytesIO()
    small = np.min_scalar_type(tokens.vocab_size - 1)
    np.savez_compressed(out, ids=tokens.ids.astype(small), meta=np.array(json.dumps(meta)))
    return out.getvalue()


def _array(values: Any) -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()
