"""Where a live stream's samples come from: raw PCM or WAV on a pipe, a sound file, the microphone."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from narrows import files
from narrows.errors import SignalError
from narrows.limits import Limits
from narrows.signals import Array, Audio
from narrows.streaming import device, pcm

BLOCK_S = 0.02


@dataclass(frozen=True)
class Source:
    """Blocks [time, channels] of 20 ms, and what they are. `live`: they come at the pace of the clock.

    `tags` are those that can be known before the samples: of a WAV through a pipe, what stands before them.
    """

    sample_rate_hz: int
    channels: int
    blocks: Iterator[Array]
    live: bool = False
    tags: Mapping[str, str | list[str]] = field(default_factory=dict)


def open_source(path: str, fmt: pcm.Format | None = None, limits: Limits = Limits()) -> Source:
    """A source from `path`, `-` for stdin: raw samples if `fmt` is given, else WAV of integers or float32
    block by block, else any sound file that can be read, whole.

    Raises SignalError for what is no sound, OSError from the file system.
    """
    file = open_input(path)
    if fmt is not None:
        return _blocks(file, fmt)
    head = _head(file)
    rest = cast(BinaryIO, _Joined(head, file))
    if pcm.is_wav(head):
        try:
            wav = pcm.open_wav(rest)
        except SignalError:  # of a kind that only soundfile knows, which needs the file
            if path == "-":
                raise
        else:
            if wav.num_bytes is not None and file.seekable():
                wav.tags.update(pcm.tags_behind(file, wav.num_bytes))
            return _blocks(rest, *wav)
    if path != "-":
        file.close()
    whole = files.read(io.BytesIO(rest.read()) if path == "-" else path, limits=limits, as_medium="audio")
    if not isinstance(whole, Audio):
        raise SignalError("is no sound")
    blocks = _cut(whole.samples, whole.sample_rate_hz)
    return Source(whole.sample_rate_hz, whole.channels, blocks, tags=whole.meta.get("tags", {}))


def open_input(path: str) -> BinaryIO:
    """A file, `-` for stdin, without a buffer: its lock, held by a thread that still waits for a pipe, would
    abort the interpreter when it exits.
    """
    if path != "-":
        return cast(BinaryIO, open(path, "rb", buffering=0))
    try:
        return cast(BinaryIO, open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
    except io.UnsupportedOperation:  # a stdin that is no file, as in a test or a notebook
        return sys.stdin.buffer


def open_microphone(fmt: pcm.Format, name: str | None = None) -> Source:
    """The microphone, or the input device called `name`, at the rate and channels of `fmt`."""
    blocks = device.microphone(
        fmt.sample_rate_hz, fmt.channels, round(BLOCK_S * fmt.sample_rate_hz), device=name
    )
    return Source(fmt.sample_rate_hz, fmt.channels, blocks, live=True)


def _blocks(file: Any, fmt: pcm.Format, num_bytes: int | None = None, tags: pcm.Tags = pcm.NO_TAGS) -> Source:
    size = max(round(BLOCK_S * fmt.sample_rate_hz), 1)
    blocks = pcm.read_blocks(file, fmt, size, num_bytes)
    return Source(fmt.sample_rate_hz, fmt.channels, blocks, tags=tags)


def _cut(samples: Array, sample_rate_hz: int) -> Iterator[Array]:
    size = max(round(BLOCK_S * sample_rate_hz), 1)
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


def _head(file: BinaryIO) -> bytes:
    head = b""
    while len(head) < 12 and (more := file.read(12 - len(head))):
        head += more
    return head


class _Joined(io.RawIOBase):
    """What was read already, then the rest of a file."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            head, self._head = self._head, b""
            return head + self._file.read()
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return self._file.read(size) or b""
