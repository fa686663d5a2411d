"""The forms of the container: varint, header, preamble, entry, tags; to bytes and from bytes, checked."""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from narrows._core import crc32c
from narrows.contracts import DIM_NAMES, Chunk, Header, Kind, Media, output_bytes
from narrows.errors import CorruptStream, TruncatedStream, UnsupportedStream
from narrows.limits import Limits

MAGIC = b"\x89NRW"
VERSION = 1
LIVE, INDEXED = 1, 2
MAX_VARINT, MAX_HEADER_BYTES, MAX_CHUNK_BYTES = 2**48, 65_535, 2**30
CODED = (Kind.DATA, Kind.PART, Kind.TABLE)
METADATA = {Kind.ICC: "icc", Kind.EXIF: "exif", Kind.XMP: "xmp", Kind.TAGS: "tags", Kind.NOTE: "note"}
DIGEST_BYTES = {1: 4, 2: 32}
MAX_TRACKS = 16
STEP_BYTES = 1 << 20

_NAME = re.compile(rb"[a-z0-9._/-]{1,32}")
_POSITIVE = {"width", "height", "channels", "bit_depth", "sample_rate_hz", "rate_num", "rate_den"}
_POSITIVE |= {"vocab_size", "num_codebooks", "dim"}
_LARGEST = {
    (Media.IMAGE, "width"): 2**20,
    (Media.IMAGE, "height"): 2**20,
    (Media.IMAGE, "channels"): 4,
    (Media.IMAGE, "bit_depth"): 16,
    (Media.IMAGE, "color"): 2,
    (Media.AUDIO, "channels"): 255,
    (Media.VIDEO, "width"): 2**20,
    (Media.VIDEO, "height"): 2**20,
    (Media.VIDEO, "pixel_format"): 1,
}


def varint(value: int) -> bytes:
    """Unsigned LEB128, shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """Where a chunk is and what it says of itself. `kind` is the type byte, `number` from 0 or unknown."""

    offset: int
    kind: int
    length: int
    track: int = 0
    layer: int = 0
    first: int = 0
    count: int = 0
    number: int | None = None

    @property
    def end(self) -> int:
        """One past the chunk's last byte."""
        return self.offset + 5 + len(varint(self.length)) + self.length

    @property
    def name(self) -> str:
        """DATA, PART ..., or the type in hexadecimal."""
        return Kind(self.kind).name if self.kind in Kind._value2member_map_ else f"{self.kind:02X}"


class Input:
    """A file read front to back or by position, with a running CRC. `size` is None on a pipe."""

    def __init__(self, file: BinaryIO | bytes | bytearray | memoryview) -> None:
        self.file = io.BytesIO(file) if isinstance(file, (bytes, bytearray, memoryview)) else file
        self.position = 0
        self.crc = 0
        self.base = 0
        self.size: int | None = None
        if self.file.seekable():
            self.base = self.file.tell()
            self.size = self.file.seek(0, io.SEEK_END) - self.base
            self.file.seek(self.base)

    def seek(self, position: int) -> None:
        """Go to `position`: on a pipe, only where it already is."""
        if position != self.position:
            if self.size is None:
                raise io.UnsupportedOperation("a pipe can be read once, front to back")
            self.file.seek(self.base + position)
            self.position = position

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return not self.file.read(1) if self.size is None else self.position == self.size

    def _pieces(self, count: int, step: int = STEP_BYTES) -> Iterator[bytes]:
        if self.size is not None and count > self.size - self.position:
            raise TruncatedStream("the data ends early", self.size)
        while count:
            piece = self.file.read(min(count, step))
            if not piece:
                raise TruncatedStream("the data ends early", self.position)
            self.position += len(piece)
            count -= len(piece)
            yield piece

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes, added to the CRC; memory grows with what arrives."""
        data = self.file.read(count) if count <= STEP_BYTES else b""
        if len(data) == count:
            self.position += count
        else:
            self.position += len(data)
            rest = count - len(data)
            data += b"".join(self._pieces(rest, STEP_BYTES if self.size is None else rest))
        self.crc = crc32c(data, self.crc)
        return data

    def digest(self, count: int) -> None:
        """Add `count` bytes to the CRC without keeping them."""
        for piece in self._pieces(count):
            self.crc = crc32c(piece, self.crc)

    def skip(self, count: int) -> None:
        """Go `count` bytes on: by seeking where possible."""
        if self.size is None:
            for _ in self._pieces(count):
                pass
        elif count > self.size - self.position:
            raise TruncatedStream("the data ends early", self.size)
        else:
            self.seek(self.position + count)

    def byte(self) -> int:
        """One byte."""
        return self.read(1)[0]

    def varint(self, most: int = MAX_VARINT, what: str = "a number") -> int:
        """A varint of at most `most`, in its shortest form."""
        start, value, shift = self.position, 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if value > most or shift > 49:
                raise CorruptStream(f"{what} is above {most:,}", start)
            if byte < 0x80:
                if shift and not byte:
                    raise CorruptStream(f"{what} is not in its shortest form", start)
                return value
            shift += 7

    def check(self, message: str, offset: int, chunk: int | None = None) -> None:
        """Read a CRC; CorruptStream unless it is the running one."""
        expected = self.crc
        if struct.unpack("<I", self.read(4))[0] != expected:
            raise CorruptStream(message, offset, chunk)


def header_bytes(header: Header) -> bytes:
    """The header form of the preamble and of TRACK chunks. ValueError for what the format cannot say."""
    name = header.codec.encode()
    if len(header.dims) != len(DIM_NAMES[header.media]):
        raise ValueError(f"{header.media.name.lower()} has dims {DIM_NAMES[header.media]}")
    if not 0 <= header.version <= 255:
        raise ValueError(f"a codec version is one byte, not {header.version}")
    out = bytes([header.media, len(name)]) + name + bytes([header.version, len(header.model)]) + header.model
    out += b"".join(varint(dim) for dim in header.dims) + varint(len(header.params)) + header.params
    try:
        parse_header(out)
    except (CorruptStream, UnsupportedStream) as error:
        raise ValueError(f"no valid header: {error}") from None
    return out


def parse_header(data: bytes, offset: int = 0) -> Header:
    """The inverse of `header_bytes`; `offset` is where `data` stands in its file, for messages."""
    source = Input(data)
    if len(data) > MAX_HEADER_BYTES:
        raise CorruptStream(f"a header has at most {MAX_HEADER_BYTES:,} bytes", offset)
    try:
        header = _parse_header(source)
        if source.position != len(data):
            raise CorruptStream("bytes are left behind the last field of the header", source.position)
    except (CorruptStream, UnsupportedStream) as error:
        at = offset + (error.offset or 0)
        if isinstance(error, TruncatedStream):
            raise CorruptStream("a field goes beyond the end of the header", at) from None
        raise type(error)(error.message, at) from None
    return header


def _parse_header(source: Input) -> Header:
    media = source.byte()
    if media not in Media._value2member_map_:
        raise UnsupportedStream(f"medium {media} is unknown", 0)
    name = source.read(source.byte())
    if not _NAME.fullmatch(name):
        raise CorruptStream("a codec's name is 1 to 32 of a-z 0-9 . _ / -", 2)
    version = source.byte()
    at = source.position
    model_bytes = source.byte()
    if model_bytes not in (0, 8):
        raise CorruptStream(f"a model has 0 or 8 bytes, not {model_bytes}", at)
    model = source.read(model_bytes)
    dims = []
    for dim in DIM_NAMES[Media(media)]:
        at = source.position
        value = source.varint(what=dim)
        if dim in _POSITIVE and value == 0:
            raise CorruptStream(f"{dim} is 0", at)
        if value > _LARGEST.get((Media(media), dim), MAX_VARINT):
            raise CorruptStream(f"{dim} is {value:,}", at)
        dims.append(value)
    params = source.read(source.varint(MAX_HEADER_BYTES, "the length of params"))
    return Header(Media(media), name.decode(), version, tuple(dims), params, model)


def preamble(header: Header, flags: int = 0) -> bytes:
    """Magic, version, flags, header, CRC: the beginning of every stream."""
    form = header_bytes(header)
    out = MAGIC + bytes([VERSION, flags]) + varint(len(form)) + form
    return out + struct.pack("<I", crc32c(out))


def read_preamble(source: Input, limits: Limits = Limits()) -> tuple[int, Header]:
    """Flags and header from the beginning of a stream."""
    for position, byte in enumerate(MAGIC):
        if source.byte() != byte:
            raise CorruptStream("not a Narrows stream: the first bytes are not 89 4e 52 57", position)
    version = source.byte()
    if version != VERSION:
        raise UnsupportedStream(f"container version {version}; this reader knows {VERSION}", 4)
    flags = source.byte()
    if flags & ~(LIVE | INDEXED):
        raise UnsupportedStream(f"flags {flags:#04x} are unknown", 5)
    length = source.varint(MAX_HEADER_BYTES, "the length of the header")
    limits.check("max_header_bytes", length)
    start = source.position
    form = source.read(length)
    source.check("checksum of the preamble differs", 0)
    return flags, parse_header(form, start)


def check_limits(header: Header, limits: Limits, shift: int = 0) -> None:
    """LimitExceeded if what `header` declares, at scale 1/2**shift, is more than `limits` allow to decode."""
    if header.media in (Media.IMAGE, Media.VIDEO):
        size = 1 << shift
        limits.check("max_pixels", -(-header.width // size) * -(-header.height // size))
    if header.media == Media.AUDIO:
        limits.check("max_samples", header.num_samples * header.channels)
    limits.check("max_output_bytes", output_bytes(header) >> 2 * shift)


def parse_tags(payload: bytes, offset: int) -> dict[str, str | list[str]]:
    """TAGS: a JSON object of strings and lists of strings, without duplicate names."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(items)
        if len(names) != len(items):
            raise ValueError("a name comes twice")
        return names

    try:
        tags = json.loads(payload.decode(), object_pairs_hook=pairs)
        json.dumps(tags, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise CorruptStream("TAGS is not a JSON object in UTF-8", offset) from None
    values = tags.values() if isinstance(tags, dict) else [None]
    for value in values:
        if not all(isinstance(item, str) for item in (value if isinstance(value, list) else [value])):
            raise CorruptStream("TAGS maps strings to strings or lists of strings", offset)
    return cast("dict[str, str | list[str]]", tags)


def tags_bytes(tags: Mapping[str, Any]) -> bytes:
    """The payload of TAGS; one form for each content."""
    payload = json.dumps(dict(tags), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    try:
        parse_tags(payload, 0)
    except CorruptStream as error:
        raise ValueError(error.message) from None
    return payload


def entry_bytes(chunk: Chunk | ChunkInfo) -> bytes:
    place = bytes([chunk.track << 4 | chunk.layer])
    return place if chunk.kind == Kind.TABLE else place + varint(chunk.first) + varint(chunk.count)
