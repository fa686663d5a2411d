"""Files to signals and back, chosen by what a file holds and not by its name.

`read` and `write` are the whole of it; `atomic` is how any output file is made. Formats live in image.py
(Pillow), png16.py (16-bit color PNG) and audio.py (soundfile); each is imported when it is needed.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from narrows.errors import OptionError, SignalError
from narrows.files.output import atomic
from narrows.limits import Limits
from narrows.signals import Audio, Blob, Image, Signal

__all__ = [
    "HEAD_BYTES",
    "MEDIA",
    "STREAM_MAGIC",
    "atomic",
    "detect",
    "opened",
    "plain_extension",
    "read",
    "write",
]

STREAM_MAGIC = b"\x89NRW"
MEDIA = ("image", "audio", "bytes")
HEAD_BYTES = 64
_STEP_BYTES = 1 << 20


def detect(head: bytes) -> str:
    """Name the medium of a file that begins with `head` (64 bytes are enough): "image", "audio" or "bytes".

    >>> from narrows import files
    >>> files.detect(b"GIF89a" + bytes(58)), files.detect(b"GIF is a format")
    ('image', 'bytes')
    """
    from narrows.files import audio, image

    return "image" if image.is_image(head) else "audio" if audio.is_audio(head) else "bytes"


def read(
    source: str | os.PathLike[str] | BinaryIO, *, limits: Limits = Limits(), as_medium: str | None = None
) -> Signal:
    """Read a file or binary file object as the Signal that its content says, or as `as_medium` says.

    A pipe is read to its end. Raises SignalError for content that is damaged or not of the medium,
    LimitExceeded before the content is taken into memory, OSError from the file system.

    >>> import io
    >>> from narrows import files
    >>> files.read(io.BytesIO(b"any bytes")).data
    b'any bytes'
    """
    if as_medium is not None and as_medium not in MEDIA:
        raise OptionError(f"no medium {as_medium!r}; known: {', '.join(MEDIA)}")
    with opened(source, limits) as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        medium = as_medium or detect(head)
        if medium == "bytes":
            return Blob(_drain(file, limits))
        if not head:
            raise SignalError("is empty")
        try:
            return _read_media(file, limits, medium)
        except SignalError as error:
            if as_medium is None:
                error.hint = '--as bytes, or as_medium="bytes", codes the file as it is'
            raise


@contextlib.contextmanager
def opened(source: str | os.PathLike[str] | BinaryIO, limits: Limits = Limits()) -> Iterator[BinaryIO]:
    """Open a path, or take a file object, as a file that can seek and stands at its start.

    What cannot seek, or was read from before, is taken into memory.
    """
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file, opened(file, limits) as whole:  # it may be a named pipe
            yield whole
    elif source.seekable() and source.tell() == 0:
        yield source
    else:
        yield io.BytesIO(_drain(source, limits))


def _read_media(file: BinaryIO, limits: Limits, medium: str) -> Signal:
    if medium == "audio":
        from narrows.files import audio

        return audio.read(file, limits)
    from narrows.files import image

    return image.read(file, limits)


def _drain(file: BinaryIO, limits: Limits) -> bytes:
    """Return all that is left of `file`, refused as soon as it is more than `max_output_bytes`."""
    parts, total = [], 0
    while part := file.read(min(_STEP_BYTES, limits.max_output_bytes - total + 1)):
        parts.append(part)
        total += len(part)
        limits.check("max_output_bytes", total)
    return b"".join(parts)


def plain_extension(signal: Signal) -> str:
    """Return the extension of the plain lossless format of a medium: ".png", ".wav", or "" for bytes."""
    return ".png" if isinstance(signal, Image) else ".wav" if isinstance(signal, Audio) else ""


def write(
    signal: Signal,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    extension: str | None = None,
    force: bool = False,
) -> None:
    """Write a signal in the format of its target's extension, or in that of `extension` (".png").

    A path appears whole or not at all, and is not overwritten without `force`; a file object is written to.
    Bytes are written as they are. Raises SignalError where the format cannot hold the signal.
    """
    if isinstance(target, (str, os.PathLike)):
        extension = extension or Path(target).suffix or plain_extension(signal)
        with atomic(target, force=force) as file:
            _write(signal, file, extension.lower())
    elif extension in (None, plain_extension(signal)) and target.seekable():
        _write(signal, target, plain_extension(signal))
    else:
        # Encoders of Pillow and libsndfile seek; a pipe cannot.
        whole = io.BytesIO()
        _write(signal, whole, (extension or plain_extension(signal)).lower())
        target.write(whole.getbuffer())


def _write(signal: Signal, file: BinaryIO, extension: str) -> None:
    if isinstance(signal, Blob):
        file.write(signal.data)
    elif isinstance(signal, Image):
        from narrows.files import image

        image.write(signal, file, extension)
    elif isinstance(signal, Audio):
        from narrows.files import audio

        audio.write(signal, file, extension)
    else:
        raise SignalError(f"no file format here holds {type(signal).__name__}")
