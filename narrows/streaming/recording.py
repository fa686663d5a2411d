"""`.nrws` files written while the stream runs: what is on disk can always be read, END or not."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import ceil
from typing import Any, BinaryIO, cast

from narrows import container
from narrows.contracts import Decoder, Encoder, Header, Kind, Media, Packet, StreamingCodec
from narrows.errors import CorruptStream, OptionError, UnsupportedStream
from narrows.files import output
from narrows.limits import Limits
from narrows.signals import Array
from narrows.stream import codec_of
from narrows.streaming.pcm import NO_TAGS, Tags
from narrows.streaming.udp import Ahead

CHUNK_S = 1.0
_POLL_S = 0.1


class Recording:
    """Packets into a file, a chunk a second, each flushed: a crash loses at most that second.

    `header` is the session's. Packets come in order, as a decoder accepted them: what it would refuse makes
    the file unreadable. Those between that did not come are noted as missing. `finish` writes the rest and
    END, and leaves the file open.
    """

    def __init__(self, file: BinaryIO, header: bytes, *, note: str = "", tags: Tags = NO_TAGS) -> None:
        _, parsed = container.read_preamble(container.Input(header))
        self._codec = _streaming(parsed)
        self._session: Decoder = self._codec.decoder(parsed)  # knows how long packets are; decodes nothing
        self._writer = container.Writer(file, parsed, live=True)
        if tags:
            self._writer.metadata(Kind.TAGS, container.tags_bytes(tags))
        if note:
            self._writer.metadata(Kind.NOTE, note.encode())
        self._packets: list[Packet] = []
        latency = self._session.latency
        self._per_chunk = max(round(CHUNK_S * 1000 / latency.frame_ms), 1)
        # The last packet also gives what the session held back so far.
        held_ms = latency.frame_ms + latency.lookahead_ms
        self._most_samples = ceil(held_ms / 1000 * parsed.sample_rate_hz) + 1
        self._next: int | None = None
        self.num_packets = 0

    def add(self, packet: Packet) -> None:
        """The next packet. ValueError for one that is not above the last, or adds what no packet can."""
        if self._next is not None and packet.seq < self._next:
            raise ValueError(f"packet {packet.seq} where {self._next} is next")
        if packet.last and not 0 <= packet.count <= self._most_samples:
            raise ValueError(f"a last packet of {packet.count} samples; it has at most {self._most_samples}")
        step = self._session.packet_frames
        for seq in range(packet.seq if self._next is None else self._next, packet.seq, step):
            self._put(Packet(seq, 0, 0, b"", key=True))
        self._put(packet)
        self.num_packets += 1
        self._next = packet.seq + step
        if packet.last:
            self._write()

    @property
    def num_bytes(self) -> int:
        """Bytes written so far."""
        return self._writer.num_bytes

    def finish(self) -> None:
        """Write what is left, and END."""
        self._write()
        self._writer.finish()

    def _put(self, packet: Packet) -> None:
        if not packet.last:  # the wire gives the last packet's count only
            before, after = (
                self._session.samples_before(seq)
                for seq in (packet.seq, packet.seq + self._session.packet_frames)
            )
            packet = replace(packet, count=after - before)
        self._packets.append(packet)
        if len(self._packets) >= self._per_chunk:
            self._write()

    def _write(self) -> None:
        if self._packets:
            first = self._session.samples_before(self._packets[0].seq)
            self._writer.write(self._codec.chunk(self._packets, first))
            self._packets = []


def record(
    blocks: Iterable[Array],
    encoder: Encoder,
    path: str,
    *,
    tags: Tags = NO_TAGS,
    force: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[int, int]:
    """Code blocks into `path` (`-` is stdout) until they end or `stop` says so; (samples, bytes).

    The file is whole, END included, whatever ended it, an exception of `blocks` too.
    """
    num_samples = 0
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(Ahead(blocks))
        file = sys.stdout.buffer if path == "-" else stack.enter_context(output.live(path, force=force))
        recording = Recording(file, encoder.header, tags=tags)
        try:
            while not stop():
                more, block = reader.take(_POLL_S)
                if not more:
                    break
                if block is None:
                    continue
                num_samples += len(block)
                for packet in encoder.push(block):
                    recording.add(packet)
        finally:
            for packet in encoder.finish():
                recording.add(packet)
            recording.finish()
    return num_samples, recording.num_bytes


class Replay:
    """A coded file as a stream of blocks, also from a pipe that is still being written.

    Iterating gives float32 [time, channels] as they are decoded. Without `partial` a file without END raises
    TruncatedStream after its last whole chunk.
    """

    def __init__(self, file: BinaryIO, limits: Limits = Limits(), *, partial: bool = False) -> None:
        self._reader = container.Reader(file, limits, partial=partial)
        self._limits = limits
        self.header = self._reader.header
        if self.header.media != Media.AUDIO:
            raise UnsupportedStream(f"this is {self.header.media.name.lower()}, not audio")
        self._codec = _streaming(self.header)

    @property
    def tags(self) -> Tags:
        """Those that have been passed: all that stand before the samples."""
        found: Tags = self._reader.metadata.get("tags", {})
        return found

    @property
    def damage(self) -> list[CorruptStream]:
        """What `partial` passed over."""
        return self._reader.damage

    def __iter__(self) -> Iterator[Array]:
        source = self._reader.source()
        for block in self._codec.blocks(self.header, source, limits=self._limits):
            yield block.samples
        source.finish()


def _streaming(header: Header) -> StreamingCodec[Any]:
    found = codec_of(header)
    if "streaming" not in found.traits:
        raise OptionError(f"{found.name} has no sessions: it lacks the trait streaming")
    return cast("StreamingCodec[Any]", found)
