"""An open stream: what it is, and decoding it, whole, in parts or in blocks."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np

from narrows import container, registry
from narrows._core import crc32c
from narrows.contracts import (
    DIM_NAMES,
    MEDIA_OF,
    UNITS,
    Chunk,
    ChunkSource,
    Codec,
    Header,
    Kind,
    Media,
    StreamingCodec,
    Want,
    dims_of,
)
from narrows.errors import CorruptStream, MissingExtra, OptionError, SignalError, UnsupportedStream
from narrows.limits import Limits
from narrows.signals import Array, Signal, canonical_bytes

Data: TypeAlias = bytes | bytearray | memoryview | BinaryIO
PathLike: TypeAlias = str | os.PathLike[str]

CHECK_DIFFERS = "the decoded samples are not those that were coded: CHECK differs"


def open(source: PathLike | Data, *, limits: Limits = Limits(), partial: bool = False) -> Stream:
    """Open a stream, decoding nothing yet: path, bytes or binary file, also a pipe. A context manager.

    >>> import narrows
    >>> with narrows.open(narrows.encode(b"hello")) as stream:
    ...     stream.unit, stream.read(start=1, stop=3).data
    ('byte', b'el')
    """
    if isinstance(source, (str, os.PathLike)):
        file = Path(source).open("rb")  # noqa: SIM115  Stream closes it
        try:
            return Stream(container.Reader(file, limits, partial=partial), file)
        except BaseException:
            file.close()
            raise
    if not isinstance(source, (bytes, bytearray, memoryview)) and not hasattr(source, "read"):
        raise SignalError(f"a stream is bytes, a path or a binary file, not a {type(source).__name__}")
    return Stream(container.Reader(source, limits, partial=partial))


class Stream:
    """An open stream. `header` and `metadata` are known; `chunks` and `info` scan it; `read` decodes parts.

    >>> import narrows
    >>> b"".join(block.data for block in narrows.open(narrows.encode(b"hello")))
    b'hello'
    """

    def __init__(self, reader: container.Reader, file: BinaryIO | None = None) -> None:
        self.reader = reader
        self._file = file

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if `open` opened it."""
        if self._file is not None:
            self._file.close()

    @property
    def header(self) -> Header:
        """Of the first track."""
        return self.reader.header

    @property
    def metadata(self) -> Mapping[str, Any]:
        """ICC, EXIF, XMP, tags and note, as far as the stream has been read."""
        return self.reader.metadata

    @property
    def unit(self) -> str:
        """What `read` counts in: second, row, byte, frame, id, vector or cell."""
        return "second" if self.header.media == Media.AUDIO else UNITS[self.header.media]

    @property
    def chunks(self) -> tuple[container.ChunkInfo, ...]:
        """Every chunk, found by skipping from head to head; of a pipe none."""
        return tuple(self.reader.scan()) if self.reader.seekable else ()

    @property
    def info(self) -> Info:
        """What the stream is; the length of a live one is that of its chunks."""
        chunks = self.chunks
        header = self.header
        if self.reader.live and header.length == 0:
            ends = (chunk.first + chunk.count for chunk in chunks if chunk.track == 0)
            header = header.with_length(max(ends, default=0))
        return Info.of(
            header,
            self.reader.metadata,
            chunks[-1].end if chunks else 0,
            live=self.reader.live,
            indexed=self.reader.indexed,
            num_tracks=len(self.reader.tracks),
            chunks=chunks,
        )

    def read(
        self,
        start: float | None = None,
        stop: float | None = None,
        *,
        scale: float | str = 1,
        region: tuple[int, int, int, int] | None = None,
        threads: int = 1,
    ) -> Any:
        """The signal, or a part of it: `decode` says more. Reads no more than the part needs, if it can."""
        want = make_want(self.header, scale, start, stop, region)
        return decode_reader(self.reader, want, threads=threads, limits=self.reader.limits)

    def __iter__(self) -> Iterator[Any]:
        return self.blocks()

    def blocks(self, *, threads: int = 1) -> Iterator[Any]:
        """The signal in the blocks it was coded in, one in memory at a time; whole if its codec cannot."""
        check_threads(threads)
        found = codec_of(self.header)
        if "seekable" not in found.traits or self.header.media in (Media.TOKENS, Media.VIDEO):
            yield decode_reader(self.reader, Want(), threads=threads, limits=self.reader.limits)
            return
        source = self.reader.source()
        digest = 0
        if "streaming" in found.traits:
            streaming = cast(StreamingCodec[Any], found)
            for block in streaming.blocks(self.header, source, limits=self.reader.limits):
                digest = crc32c(canonical_bytes(block), digest)
                yield block
            source.finish()
            _compare_check(self.reader, digest.to_bytes(4, "little"))
            return
        for group in _groups(source):
            header = self.header.with_length(max(self.header.length, group.end))
            want = Want(start=group.first, stop=group.end)
            container.check_limits(header.with_length(group.end - group.first), self.reader.limits)
            block = found.decode(header, group, want, threads=threads, limits=self.reader.limits)
            digest = crc32c(canonical_bytes(block), digest)
            yield block
        source.finish()
        _compare_check(self.reader, digest.to_bytes(4, "little"))


def info(source: PathLike | Data, *, limits: Limits = Limits()) -> Info:
    """What a stream is, without decoding it or reading its payloads: path, bytes or binary file.

    >>> import narrows
    >>> narrows.info(narrows.encode(b"hello")).codec
    'bytes'
    """
    with open(source, limits=limits) as stream:
        return stream.info


@dataclass(frozen=True)
class Info:
    """What a stream is, from its header and the heads of its chunks.

    >>> import narrows
    >>> info = narrows.info(narrows.encode(b"hello"))
    >>> info.media, info.codec, info.dims, info.num_bytes, len(info.chunks)
    ('bytes', 'bytes', {'size': 5}, 44, 2)
    """

    media: str
    codec: str
    version: int
    model: str
    dims: Mapping[str, int]
    params_bytes: int
    live: bool = False
    indexed: bool = False
    num_bytes: int = 0
    num_tracks: int = 1
    metadata: Mapping[str, int] = field(default_factory=dict)
    has_gps: bool = False
    chunks: tuple[container.ChunkInfo, ...] = ()

    @classmethod
    def of(cls, header: Header, meta: Mapping[str, Any], num_bytes: int, **more: Any) -> Info:
        """Info of a header and metadata; sizes of the latter in bytes."""
        sizes = {name: len(value) for name, value in meta.items() if isinstance(value, (bytes, str))}
        sizes |= {"tags": len(container.tags_bytes(meta["tags"]))} if meta.get("tags") else {}
        return cls(
            header.media.name.lower(),
            header.codec,
            header.version,
            header.model.hex(),
            dict(zip(DIM_NAMES[header.media], header.dims, strict=True)),
            len(header.params),
            num_bytes=num_bytes,
            metadata=sizes,
            has_gps=_has_gps(meta.get("exif", b"")),
            **more,
        )

    @property
    def num_layers(self) -> int:
        """Resolution layers among the chunks."""
        return 1 + max((chunk.layer for chunk in self.chunks), default=0)


def make_want(
    header: Header,
    scale: float | str,
    start: float | None,
    stop: float | None,
    region: tuple[int, int, int, int] | None,
) -> Want:
    """A Want in the medium's units from what callers say: seconds of audio, else units. OptionError."""
    rate = header.sample_rate_hz if header.media == Media.AUDIO else 1
    unit = "second" if header.media == Media.AUDIO else UNITS[header.media]

    def units(value: float | None) -> int | None:
        if value is None:
            return None
        if not math.isfinite(value) or (header.media != Media.AUDIO and value != int(value)):
            raise OptionError(f"start and stop count {unit}s, not {value}")
        return round(value * rate)

    want = Want(cast(Any, scale), units(start), units(stop), region)
    if header.media not in (Media.IMAGE, Media.VIDEO) and (want.scale != 1 or region is not None):
        raise OptionError(f"scale and region are for pictures, this is {header.media.name.lower()}")
    return want


def decode_reader(reader: container.Reader, want: Want, *, threads: int, limits: Limits) -> Any:
    """The wanted part of a stream as a signal, with every check that can be made on the way."""
    check_threads(threads)
    header = reader.header
    found = codec_of(header)
    container.check_limits(header, limits, want.shift if "progressive" in found.traits else 0)
    source = reader.source()
    chunks: ChunkSource = source
    if reader.live and header.length == 0:
        # Codecs never see an unknown total: the chunks say it, and are taken into memory coded for that.
        group = Group(list(source), reader.partial)
        header, chunks = header.with_length(group.end), group
        container.check_limits(header, limits)
    signal = found.decode(header, chunks, want, threads=threads, limits=limits)
    if want.full and not reader.partial:
        source.finish()
        if header.media != Media.VIDEO and dims_of(signal) != header.dims:
            raise CorruptStream(f"decodes to {dims_of(signal)}, the header says {header.dims}")
        if reader.check is not None:
            sha256 = reader.check[0] == 2
            _compare_check(
                reader, hashlib.sha256(canonical_bytes(signal)).digest() if sha256 else check_digest(signal)
            )
    meta = {name: value for name, value in reader.metadata.items() if name != "note"}
    return replace(signal, meta=meta) if meta else signal


def check_threads(threads: object) -> None:
    """OptionError unless `threads` is a whole number of at least 1."""
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise OptionError(f"threads must be a whole number of at least 1, not {threads!r}")


def tensor_of(signal: Signal, device: str) -> Any:
    """A signal's values as a torch tensor on `device`. MissingExtra, OptionError."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra('out="torch"', "neural") from error
    for name in ("pixels", "samples", "ids", "values"):
        values: Array | None = getattr(signal, name, None)
        if values is not None:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)
    raise OptionError(f"a {type(signal).__name__} has no tensor form")


def check_digest(signal: Signal) -> bytes:
    """CRC32C of the samples in canonical form, as CHECK holds it."""
    return int(crc32c(canonical_bytes(signal))).to_bytes(4, "little")


def _compare_check(reader: container.Reader, digest: bytes) -> None:
    """Raise CorruptStream unless `digest` is CHECK's; where what is whole is asked for, it need not be."""
    check = None if reader.partial else reader.check
    if check is not None and len(check[1]) == len(digest) and check[1] != digest:
        raise CorruptStream(CHECK_DIFFERS)


def codec_of(header: Header) -> Codec[Any]:
    """The codec that a header names, if it can decode this. UnsupportedStream, CorruptStream."""
    try:
        found = registry.codec(header.codec)
    except OptionError as error:
        raise UnsupportedStream(f"codec {header.codec} is unknown") from error
    if header.version > found.version:
        known = found.version
        raise UnsupportedStream(f"{header.codec} of version {header.version}: this one knows up to {known}")
    if header.media != MEDIA_OF[found.signal]:
        raise CorruptStream(f"{header.codec} does not code {header.media.name.lower()}")
    return found


@dataclass
class Group:
    """A ChunkSource of chunks in memory: TABLEs, and one DATA with its PARTs or more."""

    chunks: list[Chunk]
    partial: bool

    @property
    def first(self) -> int:
        """The first unit of the coded data."""
        return min((chunk.first for chunk in self.chunks if chunk.kind != Kind.TABLE), default=0)

    @property
    def end(self) -> int:
        """One past the last unit."""
        return max((chunk.first + chunk.count for chunk in self.chunks), default=0)

    def __iter__(self) -> Iterator[Chunk]:
        return self.select(lambda chunk: True)

    def layers(self, highest: int) -> Iterator[Chunk]:
        return self.select(lambda chunk: chunk.layer <= highest)

    def covering(self, want: Want) -> Iterator[Chunk]:
        self.chunks = container.meeting(self.chunks, *want.span(self.end))
        return iter(self)

    def select(self, keep: Callable[[Chunk], bool]) -> Iterator[Chunk]:
        while self.chunks:
            chunk = self.chunks.pop(0)
            if keep(chunk):
                yield chunk


def _groups(source: container.Source) -> Iterator[Group]:
    tables: list[Chunk] = []
    group: list[Chunk] = []
    for chunk in source:
        if chunk.kind == Kind.DATA and group:
            yield Group([*tables, *group], source.partial)
            group = []
        (tables if chunk.kind == Kind.TABLE else group).append(chunk)
    if group:
        yield Group([*tables, *group], source.partial)


def _has_gps(exif: bytes) -> bool:
    """Whether an EXIF block has a GPS directory (tag 0x8825 of its first directory)."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return False
    little = cast(Any, order)
    start = int.from_bytes(tiff[4:8], little)
    count = int.from_bytes(tiff[start : start + 2], little)
    tags = (tiff[start + 2 + 12 * i : start + 4 + 12 * i] for i in range(count))
    return any(int.from_bytes(tag, little) == 0x8825 for tag in tags)
