"""`narrows demo`: a minute's tour, on files it makes and removes."""

from __future__ import annotations

import argparse
import gzip
import io
import math
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.cli.outcome import DONE
from narrows.cli.terminal import Terminal
from narrows.cli.work import watched

if TYPE_CHECKING:
    import numpy as np

    from narrows.signals import Image

NAME = "demo"
USAGE = "narrows demo"
SUMMARY = "a minute's tour on files it makes itself"
EXAMPLES = ""
_HERE = Path(__file__).parent.parent
_PHOTO = _HERE / "demo" / "coffee.webp"
_TEXT = _HERE / "api.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the tour takes no options."""


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Give the tour."""
    with tempfile.TemporaryDirectory(prefix="narrows-demo-") as folder:
        _tour(Path(folder), terminal)
    return DONE


def _tour(folder: Path, terminal: Terminal) -> None:
    import narrows
    from narrows import files

    say = terminal.result
    photo: Image = files.read(_PHOTO)  # type: ignore[assignment]
    original, stream = folder / "coffee.png", folder / "coffee.png.nrws"
    files.write(photo, original)
    say(f"narrows {narrows.__version__}: a minute's tour, on a photograph of {photo.width} x {photo.height}")

    say("\n1  Small, beside JPEG and WebP of the same PSNR\n")
    for quality in (30, 60, 90):
        command = f"narrows encode coffee.png -q {quality}"
        say(_row(command, watched(terminal, command, partial(_compared, photo, original, stream, quality))))

    say("\n2  Or every bit\n")
    narrows.encode_file(original, stream, lossless=True, force=True)
    say(_row("narrows encode coffee.png --lossless", f"{_size(stream):>7,} bytes  PNG {_size(original):,}"))
    narrows.decode_file(stream, folder / "back.png")
    same = narrows.equal(photo, files.read(folder / "back.png"))
    say(_row("narrows decode coffee.png.nrws", "every pixel as it was" if same else "pixels DIFFER"))

    say("\n3  A thumbnail without reading the rest\n")
    narrows.encode_file(original, stream, quality=75, force=True)
    counted = _Counted(stream.read_bytes())
    small = narrows.decode(counted, scale=1 / 8)
    share = 100 * counted.num_bytes / _size(stream)
    result = f"{small.width} x {small.height} from {share:.0f} % of the file"
    say(_row("narrows decode coffee.png.nrws --scale 1/8", result))

    say("\n4  Any other file, byte for byte\n")
    text = _TEXT.read_bytes()
    coded = watched(terminal, "encoding text", lambda: len(narrows.encode(text)))
    result = f"{coded:>7,} bytes of {len(text):,}, gzip -9 {len(gzip.compress(text, 9)):,}"
    say(_row(f"narrows encode {_TEXT.name}", result))

    say("\n5  Damage is found\n")
    say(_row("narrows verify coffee.png.nrws", "ok" if narrows.verify(stream).ok else "DAMAGED"))
    damaged = bytearray(stream.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    say(_row("the same with one bit flipped", narrows.verify(bytes(damaged)).problems[0]))

    say("\nIts files are gone again. Next: narrows encode YOUR-PHOTO, or narrows --help")


def _compared(photo: Image, original: Path, stream: Path, quality: int) -> str:
    import narrows

    narrows.encode_file(original, stream, quality=quality, force=True)
    reached_db = _psnr_db(photo.pixels, narrows.decode(stream.read_bytes()).pixels)
    peers = "  ".join(f"{kind} {_smallest(photo, reached_db, kind):>7}" for kind in ("JPEG", "WebP"))
    return f"{_size(stream):>7,} bytes  {reached_db:.1f} dB   {peers}"


def _row(command: str, result: str) -> str:
    return f"   {command:<44} {result}"


def _size(path: Path) -> int:
    return path.stat().st_size


def _psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    error = float(((a.astype(int) - b) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def _smallest(photo: Image, least_db: float, kind: str) -> str:
    """Return the size of the smallest file of `kind` that reaches `least_db`, by bisection of its quality."""
    import numpy as np
    from PIL import Image as pillow

    im = pillow.fromarray(photo.pixels)
    options: dict[str, Any] = {"optimize": True} if kind == "JPEG" else {"method": 6}
    low, high, found = 1, 100, 0
    while low <= high:
        quality = (low + high) // 2
        file = io.BytesIO()
        im.save(file, kind, quality=quality, **options)
        if _psnr_db(photo.pixels, np.asarray(pillow.open(file).convert("RGB"))) >= least_db:
            found, high = len(file.getvalue()), quality - 1
        else:
            low = quality + 1
    return f"{found:,}" if found else "never"


class _Counted(io.BytesIO):
    """Bytes as a file that counts how many are read."""

    num_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.num_bytes += len(data)
        return data
