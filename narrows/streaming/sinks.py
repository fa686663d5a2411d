"""Where a received stream's samples or packets go: WAV, raw PCM, `.nrws`, the speaker."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from narrows.files import output
from narrows.signals import Array
from narrows.streaming import pcm
from narrows.streaming.device import Speaker
from narrows.streaming.live import Incoming
from narrows.streaming.recording import Recording, Replay

SAMPLE = "s24le"  # what a session returns, to the bit
SUFFIX = ".nrws"


class Sink(Protocol):
    """Takes the samples of one stream."""

    def write(self, samples: Array) -> None:
        """The next samples, float32 [time, channels]."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class FileSink:
    """Samples into an open file: WAV, or raw if `sample` says how. `close` closes what `stack` holds."""

    def __init__(
        self,
        file: BinaryIO,
        rate_hz: int,
        channels: int,
        *,
        sample: str | None,
        stack: contextlib.ExitStack | None = None,
        tags: pcm.Tags = pcm.NO_TAGS,
    ) -> None:
        self._stack = stack or contextlib.ExitStack()
        fmt = pcm.Format(sample or SAMPLE, rate_hz, channels)
        self._writer = pcm.Writer(file, fmt, wav=sample is None, tags=tags)

    def write(self, samples: Array) -> None:
        self._writer.write(samples)

    def close(self) -> None:
        with self._stack:
            self._writer.close()


class RecordingSink:
    """The packets of a stream into a `.nrws` file, as they are decoded; samples are not needed."""

    def __init__(self, path: str | os.PathLike[str], incoming: Incoming, *, force: bool) -> None:
        self._stack = contextlib.ExitStack()
        file: BinaryIO = sys.stdout.buffer
        if path != "-":
            file = self._stack.enter_context(output.live(path, force=force))
        self._recording = Recording(file, incoming.stream.header)
        incoming.playout.on_packet = self._recording.add

    def write(self, samples: Array) -> None:
        del samples

    def close(self) -> None:
        with self._stack:
            self._recording.finish()


class Nothing:
    """Samples are played into the void: statistics are all that is wanted."""

    def write(self, samples: Array) -> None:
        del samples

    def close(self) -> None:
        return


class Sinks:
    """The sinks of a receiver's streams: the first gets `path`, others with their session in the name."""

    def __init__(
        self, path: str | None, *, sample: str | None = None, speaker: bool = False, force: bool = False
    ) -> None:
        self._path, self._sample, self._speaker, self._force = path, sample, speaker, force
        self._open: dict[int, Sink] = {}
        self._written: set[str] = set()
        self._num_opened = 0

    def open(self, incoming: Incoming) -> Callable[[Array], None]:
        """A sink for a stream: what takes its samples. On stdout there is room for one stream only.

        A stream that paused for long and goes on gets a file of its own again, with a number in its name.
        """
        speaker = self._speaker and not self._num_opened
        if self._path is None or self._path == "-":
            path = None if self._num_opened else self._path
        else:
            path = self._free_name(incoming.stream.session_id)
            self._written.add(path)
        sink = open_sink(incoming, path, sample=self._sample, speaker=speaker, force=self._force)
        self._num_opened += 1
        self._open[incoming.stream.session_id] = sink
        return sink.write

    def _free_name(self, session_id: int) -> str:
        """The path asked for, the first time; then names nothing was written to in this run, nor, unless
        `force`, before.
        """
        named = Path(cast(str, self._path))
        if not self._num_opened:
            return str(named)
        session = f"{session_id:08x}"
        numbers = (f"{session}.{number}" for number in count(2))
        names = (str(named.with_name(f"{named.stem}.{n}{named.suffix}")) for n in chain([session], numbers))
        return next(n for n in names if n not in self._written and (self._force or not os.path.exists(n)))

    def close(self, incoming: Incoming) -> None:
        """Finish the sink of a stream."""
        self._open.pop(incoming.stream.session_id).close()


def replay(
    source: Replay,
    path: str | None,
    *,
    sample: str | None = None,
    force: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Decode `source` into `path` (`-` is stdout, None the speaker), as it comes; the samples written.

    A file appears under its name when it is whole; a failure leaves none.
    """
    rate_hz, channels = source.header.sample_rate_hz, source.header.channels
    num_samples = 0
    with contextlib.ExitStack() as stack:
        sink: Sink
        if path is None:
            sink = Speaker(rate_hz, channels, paced=True)
        else:
            file = sys.stdout.buffer if path == "-" else stack.enter_context(output.atomic(path, force=force))
            sink = FileSink(file, rate_hz, channels, sample=sample, tags=source.tags)
        stack.callback(sink.close)
        for block in source:
            sink.write(block)
            num_samples += len(block)
            if stop():
                break
    return num_samples


def open_sink(
    incoming: Incoming, path: str | os.PathLike[str] | None, *, sample: str | None, speaker: bool, force: bool
) -> Sink:
    """The sink for a stream: `path` by its extension (`-` is stdout), the speaker, or nothing."""
    rate_hz, channels = incoming.header.sample_rate_hz, incoming.header.channels
    if speaker:
        return Speaker(rate_hz, channels)
    if path is None:
        return Nothing()
    if Path(path).suffix == SUFFIX:
        return RecordingSink(path, incoming, force=force)
    stack = contextlib.ExitStack()
    file = sys.stdout.buffer if path == "-" else stack.enter_context(output.live(path, force=force))
    return FileSink(file, rate_hz, channels, sample=sample, stack=stack)
