"""Reads `.nrws` streams: from pipes front to back, from files in any order."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from narrows._core import crc32c
from narrows.container import resync
from narrows.container.forms import (
    CODED,
    DIGEST_BYTES,
    INDEXED,
    LIVE,
    MAX_CHUNK_BYTES,
    METADATA,
    ChunkInfo,
    Input,
    parse_header,
    parse_tags,
    read_preamble,
)
from narrows.container.order import Order, meeting
from narrows.contracts import Chunk, Kind, Want
from narrows.errors import CorruptStream, LimitExceeded, TruncatedStream, UnsupportedStream
from narrows.limits import Limits


class Reader:
    """The header and what stands before the first coded chunk at once, the rest when asked for.

    `file` is bytes or a binary file, also a pipe. `tracks` are the headers; `metadata` what has been passed
    of `icc exif xmp` (bytes), `tags` (dict) and `note` (str); `check` the CHECK chunk (kind, digest) once
    passed. With `partial` damage behind the preamble goes to `damage` instead of being raised.
    """

    def __init__(
        self,
        file: BinaryIO | bytes | bytearray | memoryview,
        limits: Limits = Limits(),
        *,
        partial: bool = False,
    ) -> None:
        self.input = Input(file)
        self.limits = limits
        self.partial = partial
        self.metadata: dict[str, Any] = {}
        self.check: tuple[int, bytes] | None = None
        self.damage: list[CorruptStream] = []
        self.flags, self.header = read_preamble(self.input, limits)
        self.tracks = [self.header]
        self._after_preamble = self.input.position
        self._walk = Walk(self, Order(self.input.position, self.live))
        self._walk.peek()
        self._first = self._walk.order.copy()
        self._taken = False

    @property
    def live(self) -> bool:
        """Whether totals were unknown when writing began."""
        return bool(self.flags & LIVE)

    @property
    def indexed(self) -> bool:
        """Whether an INDEX stands before END."""
        return bool(self.flags & INDEXED)

    @property
    def seekable(self) -> bool:
        """Whether chunks can be read in any order, and more than once."""
        return self.input.size is not None

    def source(self, track: int = 0) -> Source:
        """The coded chunks of a track, from the first. A pipe has one source, taken once."""
        if self.seekable:
            return Source(self, Walk(self, self._first.copy()), track)
        if self._taken:
            raise ValueError("a pipe can be read once")
        self._taken = True
        return Source(self, self._walk, track)

    def scan(self) -> list[ChunkInfo]:
        """Every chunk of the stream, ancillary ones and END too, payloads skipped. Not for pipes."""
        walk = Walk(self, Order(self._after_preamble, self.live), log=[])
        walk.finish()
        return walk.log or []

    def entries(self) -> list[ChunkInfo]:
        """The coded chunks: from the INDEX where there is one, else by `scan`."""
        index = self.index() if self.indexed else None
        return [info for info in self.scan() if info.kind in CODED] if index is None else index

    def index(self) -> list[ChunkInfo] | None:
        """What INDEX says, or None if the end of the file does not lead to one. CorruptStream if it lies."""
        source, size = self.input, self.input.size or 0
        try:
            source.seek(max(size - 14, 0))
            end = source.read(10)
            if source.read(4) != struct.pack("<I", crc32c(end)) or end[:2] != bytes([Kind.END, 8]):
                return None
            offset = size - 14 - int.from_bytes(end[6:10], "little")
            if offset < self._after_preamble:
                raise CorruptStream("the distance to INDEX leads out of the file", size - 8)
            source.seek(offset)
            source.crc = 0
            kind, length = source.byte(), source.varint(MAX_CHUNK_BYTES)
            if kind != Kind.INDEX or source.position + length + 4 != size - 14:
                raise CorruptStream("the distance in END does not lead to INDEX", size - 8)
            start = source.position
            payload = source.read(length)
            source.check("checksum of INDEX differs", offset)
        except TruncatedStream:
            return None
        return self._parse_index(payload, start, offset)

    def _parse_index(self, payload: bytes, start: int, end: int) -> list[ChunkInfo]:
        source, offset = Input(payload), 0
        infos: list[ChunkInfo] = []
        while source.position < len(payload):
            at = start + source.position
            try:
                kind, place, distance = source.byte(), source.byte(), source.varint()
                first, count = source.varint(), source.varint()
            except CorruptStream:
                raise CorruptStream("INDEX ends within an entry or has a wrong number", at) from None
            offset += distance
            if kind not in CODED or not distance or not self._after_preamble <= offset < end:
                raise CorruptStream("INDEX points to what cannot be a coded chunk", at)
            self.limits.check("max_chunks", len(infos) + 1)
            infos.append(ChunkInfo(offset, kind, 0, place >> 4, place & 15, first, count))
        return infos

    def read(self, info: ChunkInfo) -> Chunk:
        """The coded chunk that `entries` described."""
        walk = Walk(self, Order(info.offset, self.live), counted=False)
        found = walk.head(info.offset) if self._kind(info.offset) in CODED else None
        if found is None or _place(found) != _place(info):
            raise CorruptStream("INDEX and chunk say different things", info.offset)
        return walk.body()

    def _kind(self, offset: int) -> int:
        self.input.seek(offset)
        return self.input.byte()


def _place(info: ChunkInfo) -> tuple[int, ...]:
    return info.kind, info.track, info.layer, info.first, info.count


def _bare(info: ChunkInfo) -> Chunk:
    return Chunk(b"", info.first, info.count, info.layer, Kind(info.kind), info.track)


class Walk:
    """A way through the chunks of a reader's file, front to back. Each keeps its own place."""

    def __init__(
        self, reader: Reader, order: Order, log: list[ChunkInfo] | None = None, counted: bool = True
    ) -> None:
        self.reader = reader
        self.counted = counted
        self.order = order
        self.log = log
        self.ended = False
        self.waiting: set[int] = set()
        self._metadata_bytes = 0
        self._pending: tuple[ChunkInfo, int, int] | None = None
        self._end: int | None = None
        self._hopeless = False  # no whole chunk follows what is damaged
        self._work: resync.Work | None = None

    def peek(self) -> ChunkInfo | None:
        """The next coded chunk, its payload not yet read; None behind END. What is between is taken in."""
        while self._pending is None and not self.ended:
            try:
                self.head(self.order.position)
            except CorruptStream as error:
                self._lose(error)
            except LimitExceeded:
                if not self.order.holes:
                    raise
                self.ended = True
        return self._pending[0] if self._pending else None

    def take(self, wanted: bool) -> Chunk | None:
        """The chunk that `peek` showed, or None if it is not wanted, or damaged and the reader partial."""
        info = self.peek()
        if info is None:
            return None
        try:
            chunk = self.body() if wanted else None
            if chunk is None:
                self._skip()
            self._pass(info)
        except CorruptStream as error:
            self._lose(error)
            return None
        if self.waiting:
            if info.kind == Kind.DATA:
                self.waiting.discard(info.track)
            elif info.kind == Kind.PART and info.track in self.waiting:
                return None
        return chunk

    def finish(self, verify: bool = False) -> set[int]:
        """To END and behind it; the tracks of which coded chunks were left on the way."""
        left = set()
        while (info := self.peek()) is not None:
            left.add(info.track)
            self.take(verify)
        return left

    def head(self, offset: int) -> ChunkInfo | None:
        """Read the head of the chunk at `offset`; of a coded one the entry too, others whole."""
        source, order = self.reader.input, self.order
        source.seek(offset)
        source.crc = 0
        self._end = None
        kind = source.byte()
        length = source.varint(MAX_CHUNK_BYTES, "the length of the chunk")
        self.reader.limits.check("max_chunk_bytes", length)
        self.reader.limits.check("max_chunks", order.number + (kind != Kind.END))
        start = source.position
        self._end = start + length + 4
        if kind not in CODED:
            self._other(ChunkInfo(offset, kind, length, number=order.number))
            return None
        place = source.byte()
        first = 0 if kind == Kind.TABLE else source.varint(what="first")
        count = 0 if kind == Kind.TABLE else source.varint(what="count")
        if source.position > start + length:
            raise CorruptStream("the entry is longer than its chunk", offset, order.number)
        number = order.number if self.counted else None
        info = ChunkInfo(offset, kind, length, place >> 4, place & 15, first, count, number)
        self._pending = (info, source.position, source.crc)
        return info

    def body(self) -> Chunk:
        """The payload of the chunk whose head was read, after its checksum."""
        info, source, end = self._resume()
        payload = source.read(end - 4 - source.position)
        source.check("checksum differs", info.offset, info.number)
        return Chunk(payload, info.first, info.count, info.layer, Kind(info.kind), info.track)

    def _skip(self) -> None:
        _, source, end = self._resume()
        source.skip(end - source.position)

    def _resume(self) -> tuple[ChunkInfo, Input, int]:
        if self._pending is None:
            raise ValueError("no chunk is pending")
        info, position, crc = self._pending
        self._pending = None
        self.reader.input.seek(position)
        self.reader.input.crc = crc
        self._end = info.end
        return info, self.reader.input, info.end

    def _pass(self, info: ChunkInfo) -> None:
        problem = self.order.refuse(info.kind)
        lost = info.kind == Kind.PART and info.track in self.waiting
        if problem is None and info.kind in CODED and not lost:
            problem = self.order.place(info, self.reader.tracks)
        if problem:
            raise CorruptStream(problem, info.offset, info.number)
        self.order.passed(info.kind, info.offset, self.reader.input.position)
        if self.log is not None:
            self.log.append(info)

    def _lose(self, error: CorruptStream) -> None:
        """Go on behind a damaged chunk, if the reader is partial: at its end, or where the next is found."""
        if not self.reader.partial:
            if isinstance(error, TruncatedStream):
                done, header = self.order.ends.get(0, 0), self.reader.header
                error.decodable = f"{done:,} of {header.length:,}"
            raise error
        self.reader.damage.append(error)
        self._pending = None
        self.order.holes = True
        self.order.number += 1
        self.waiting = set(range(len(self.reader.tracks)))
        source = self.reader.input
        if self.reader.seekable and self._find():
            return
        if self._end is None or isinstance(error, TruncatedStream) or source.position > self._end:
            self.ended = True
            return
        try:
            source.skip(self._end - source.position)
        except TruncatedStream as cut:
            self.reader.damage.append(cut)
            self.ended = True
        self.order.position = self._end

    def _find(self) -> bool:
        """Whether chunks go on elsewhere than where the damaged one says; then that is where to go on."""
        source, order, tracks = self.reader.input, self.order, self.reader.tracks
        position, end = source.position, self._end
        work = self._work = self._work or resync.Work(source)

        def fits(info: ChunkInfo) -> bool:
            if info.track >= len(tracks) or info.first < order.ends.get(info.track, 0):
                return False
            return self.reader.live or info.first + info.count <= tracks[info.track].length

        found = None
        if not self._hopeless and (
            end is None or (end != source.size and not resync.is_whole(source, end, work))
        ):
            found = resync.next_chunk(source, order.position + 1, fits, work)
            self._hopeless = found is None
        if found is None:
            source.seek(position)
            return False
        self.reader.damage.append(CorruptStream(f"nothing whole up to byte {found:,}", order.position))
        order.position = found
        return True

    def _other(self, info: ChunkInfo) -> None:
        """Take in a chunk that is not coded data."""
        reader, source, kind = self.reader, self.reader.input, info.kind
        keep = True
        if kind in METADATA:
            self._metadata_bytes += info.length
            reader.limits.check("max_metadata_bytes", self._metadata_bytes)
        elif kind == Kind.TRACK:
            reader.limits.check("max_header_bytes", info.length)
        elif kind not in (Kind.INDEX, Kind.CHECK, Kind.END) or (kind != Kind.INDEX and info.length > 64):
            keep = False
        start = source.position
        payload = b""
        if keep:
            payload = source.read(info.length)
        else:
            source.digest(info.length)
        source.check("checksum differs", info.offset, info.number)
        if kind == Kind.END:
            self._finish(info, payload)
            return
        if kind < 0x80 and kind != Kind.TRACK:
            raise UnsupportedStream(f"critical chunk {kind:02X} is unknown", info.offset)
        self._pass(info)
        if kind == Kind.TRACK:
            self.order.tracks += 1
            reader.limits.check("max_tracks", self.order.tracks)
            if self.order.tracks > len(reader.tracks):
                reader.tracks.append(parse_header(payload, start))
        elif kind == Kind.TAGS:
            reader.metadata["tags"] = parse_tags(payload, start)
        elif kind == Kind.NOTE:
            try:
                reader.metadata["note"] = payload.decode()
            except UnicodeDecodeError:
                raise CorruptStream("NOTE is not UTF-8", start) from None
        elif kind in METADATA:
            reader.metadata[METADATA[Kind(kind)]] = payload
        elif kind == Kind.CHECK:
            if not payload or len(payload) != 1 + DIGEST_BYTES.get(payload[0], -1):
                raise CorruptStream("CHECK is of no known kind", start)
            reader.check = (payload[0], payload[1:])
        elif kind == Kind.INDEX:
            if not reader.indexed:
                raise CorruptStream("INDEX in a stream whose flags know of none", info.offset)
            if payload != self.order.index and not self.order.holes:
                raise CorruptStream("INDEX says something else than the chunks", start)

    def _finish(self, info: ChunkInfo, payload: bytes) -> None:
        reader, order, source = self.reader, self.order, Input(payload)
        start = info.end - 4 - info.length
        if reader.indexed:
            if len(payload) != 8:
                raise CorruptStream("END of an indexed stream has 8 bytes", start)
            number, distance = struct.unpack("<II", payload)
            if not order.holes and (
                Kind.INDEX not in order.seen or info.offset - distance != order.index_offset
            ):
                raise CorruptStream("END does not lead to an INDEX", start + 4)
        else:
            try:
                number = source.varint()
            except CorruptStream:
                number = -1
            if number < 0 or source.position != len(payload):
                raise CorruptStream("END is not one number", start)
        if not order.holes and number != order.number:
            raise CorruptStream(f"END counts {number:,} chunks, there are {order.number:,}", start)
        missing = order.incomplete(reader.tracks)
        if missing:
            raise CorruptStream(missing, info.offset)
        if not reader.input.at_end():
            raise CorruptStream("bytes behind END", info.end)
        self.ended = True
        if self.log is not None:
            self.log.append(info)


class Source:
    """The chunks of one track, as `narrows.contracts.ChunkSource` says."""

    def __init__(self, reader: Reader, walk: Walk, track: int) -> None:
        self._reader = reader
        self._walk = walk
        self._track = track
        self._rest: Iterator[ChunkInfo] | None = None
        if reader.partial and reader.seekable and reader.indexed:
            try:
                self._rest = iter(reader.index() or ())
            except CorruptStream:
                self._rest = None

    @property
    def partial(self) -> bool:
        """Whether holes are to be filled rather than refused."""
        return self._reader.partial

    def __iter__(self) -> Iterator[Chunk]:
        return self.select(lambda chunk: True)

    def layers(self, highest: int) -> Iterator[Chunk]:
        """Chunks of layers 0 to `highest`; ends at a finer one once the chunks cover the whole signal."""
        order, header = self._walk.order, self._reader.tracks[self._track]

        def keep(chunk: Chunk) -> bool:
            return chunk.layer <= highest

        def over(info: ChunkInfo) -> bool:
            complete = not self._reader.live and order.ends.get(self._track, 0) >= header.length
            return info.track == self._track and info.layer > highest and complete

        return self._chunks(keep, over)

    def select(self, keep: Callable[[Chunk], bool]) -> Iterator[Chunk]:
        """Chunks that `keep`, which sees them without payload, wants; others are skipped unread."""
        return self._chunks(keep, lambda info: False)

    def _chunks(self, keep: Callable[[Chunk], bool], over: Callable[[ChunkInfo], bool]) -> Iterator[Chunk]:
        if self._rest is not None:
            yield from self._by_index(keep)
            return
        walk = self._walk
        while (info := walk.peek()) is not None and not over(info):
            chunk = walk.take(info.track == self._track and keep(_bare(info)))
            if chunk is not None:
                yield chunk

    def _by_index(self, keep: Callable[[Chunk], bool]) -> Iterator[Chunk]:
        """Partial reading where INDEX is sound: a chunk whose very length is hit costs no other group."""
        waiting = False
        for info in self._rest or ():
            if info.track != self._track or (waiting and info.kind == Kind.PART) or not keep(_bare(info)):
                continue
            try:
                chunk = self._reader.read(info)
            except CorruptStream as error:
                self._reader.damage.append(error)
                waiting = True
                continue
            waiting = waiting and info.kind != Kind.DATA
            yield chunk

    def covering(self, want: Want) -> Iterator[Chunk]:
        """TABLEs, and the groups of DATA and its PARTs that meet `want`."""
        if want.full:
            yield from self
            return
        header = self._reader.tracks[self._track]
        start, stop = want.span(2**48 if self._reader.live else header.length)
        if self._reader.seekable:
            infos = [info for info in self._reader.entries() if info.track == self._track]
            self._rest = iter(meeting(infos, start, stop))
            if self.partial:
                yield from self._by_index(lambda chunk: True)
            else:
                yield from map(self._reader.read, self._rest)
            return
        held: list[Chunk] = []
        for chunk in self:
            if chunk.kind == Kind.DATA:
                if chunk.first >= stop:
                    return
                held = []
            if chunk.kind == Kind.TABLE:
                yield chunk
                continue
            held.append(chunk)
            if chunk.first < stop and chunk.first + chunk.count > start:
                yield from held
                held = []

    def finish(self) -> None:
        """Read on to END, so that every rule is checked; CorruptStream for coded data nobody asked for."""
        if self._rest is not None:
            return
        left = self._walk.finish()
        if self._track in left and not self.partial:
            raise CorruptStream("there is more coded data than the header asks for")
