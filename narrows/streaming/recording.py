"""`.nrws` files written while the stream runs: what is on disk can always be read, END or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from narrows import container
from narrows.contracts import Decoder, Kind, Media, Packet, StreamingCodec
from narrows.errors import OptionError, UnsupportedStream
from narrows.limits import Limits
from narrows.signals import Array
from narrows.stream import codec_of

CHUNK_S = 1.0


class Recording:
    """Packets into a file, a chunk a second, each flushed: a crash loses at most that second.

    `header` is the session's; `packet_s` how long its packets last. Packets come in order; where some are
    missing a new chunk begins behind the hole. `finish` writes the rest and END, and leaves the file open.
    """

    def __init__(self, file: BinaryIO, header: bytes, packet_s: float, *, note: str = "") -> None:
        _, self._header = container.read_preamble(container.Input(header))
        self._codec: StreamingCodec[Any] = _streaming(self._header)
        self._writer = container.Writer(file, self._header, live=True)
        if note:
            self._writer.metadata(Kind.NOTE, note.encode())
        self._packets: list[Packet] = []
        self._per_chunk = max(round(CHUNK_S / packet_s), 1)
        self.num_packets = 0

    def add(self, packet: Packet) -> None:
        """The next packet. ValueError for one that is not above the last."""
        if self._packets and packet.seq <= self._packets[-1].seq:
            raise ValueError(f"packet {packet.seq} after {self._packets[-1].seq}")
        if self._packets and packet.seq != self._packets[-1].seq + 1:
            self._write()
        self._packets.append(packet)
        self.num_packets += 1
        if len(self._packets) >= self._per_chunk or packet.last:
            self._write()

    def finish(self) -> None:
        """Write what is left, and END."""
        self._write()
        self._writer.finish()

    def _write(self) -> None:
        if self._packets:
            self._writer.write(self._codec.chunk(self._header, self._packets))
            self._packets = []


class Replay:
    """A coded file as a stream of blocks, also from a pipe that is still being written.

    Iterating gives float32 [time, channels], packet by packet; holes of a live file are concealed by the
    decoder. Without `partial` a file without END raises TruncatedStream after its last whole chunk.
    """

    def __init__(self, file: BinaryIO, limits: Limits = Limits(), *, partial: bool = False) -> None:
        self._reader = container.Reader(file, limits, partial=partial)
        self.header = self._reader.header
        if self.header.media != Media.AUDIO:
            raise UnsupportedStream(f"this is {self.header.media.name.lower()}, not audio")
        self._codec = _streaming(self.header)

    def __iter__(self) -> Iterator[Array]:
        source = self._reader.source()
        decoder: Decoder = self._codec.decoder(self.header)
        for chunk in source:
            for packet in self._codec.packets(self.header, chunk):
                yield decoder.push(packet)
        yield decoder.finish()
        source.finish()


def _streaming(header: Any) -> StreamingCodec[Any]:
    found = codec_of(header)
    if "streaming" not in found.traits:
        raise OptionError(f"{found.name} has no sessions: it lacks the trait streaming")
    return found  # type: ignore[return-value]
