"""What codecs, tokenizers and sessions promise each other and the rest of the house. Read this second.

A codec turns a signal into a Header and an iterator of Chunks, and a Header and a ChunkSource back into a
signal. It knows nothing of files: container.py frames chunks, api.py joins the two, and metadata (ICC, EXIF,
XMP, tags) and the CHECK digest are the api's. Attributes of protocols are read-only properties, so that
frozen dataclasses satisfy them. Long because these promises are read together.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from math import prod
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from narrows.errors import OptionError
from narrows.limits import Limits
from narrows.signals import COLORS, Array, Audio, Blob, Formulas, Image, Signal, Tokens, Vectors, Video


class Media(IntEnum):
    """What a stream holds; decides which dims its header has."""

    BYTES = 0
    IMAGE = 1
    AUDIO = 2
    VIDEO = 3
    TOKENS = 4
    VECTORS = 5
    FORMULAS = 6


DIM_NAMES: Mapping[Media, tuple[str, ...]] = {
    Media.BYTES: ("size",),
    Media.IMAGE: ("width", "height", "channels", "bit_depth", "color"),
    Media.AUDIO: ("sample_rate_hz", "channels", "num_samples"),
    Media.VIDEO: ("width", "height", "pixel_format", "rate_num", "rate_den", "num_frames"),
    Media.TOKENS: ("vocab_size", "num_codebooks", "num_steps"),
    Media.VECTORS: ("num_vectors", "dim"),
    Media.FORMULAS: ("num_cells",),
}
MEDIA_OF: Mapping[type, Media] = {
    Blob: Media.BYTES,
    Image: Media.IMAGE,
    Audio: Media.AUDIO,
    Video: Media.VIDEO,
    Tokens: Media.TOKENS,
    Vectors: Media.VECTORS,
    Formulas: Media.FORMULAS,
}
UNITS: Mapping[Media, str] = {
    Media.BYTES: "byte",
    Media.IMAGE: "row",
    Media.AUDIO: "sample",
    Media.VIDEO: "frame",
    Media.TOKENS: "id",
    Media.VECTORS: "vector",
    Media.FORMULAS: "cell",
}


class Kind(IntEnum):
    """Type byte of a chunk. Bit 7 clear is critical; in others bit 6 says "describes the coded data"."""

    DATA = 0x01
    PART = 0x02
    TABLE = 0x03
    TRACK = 0x04
    END = 0x7F
    ICC = 0x82
    EXIF = 0x83
    XMP = 0x84
    TAGS = 0x85
    NOTE = 0x87
    INDEX = 0xC1
    CHECK = 0xC6


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a stream: `payload` is the codec's bytes, without the entry.

    DATA can be decoded from the header and the TABLEs before it; PART needs the chunks since the last DATA of
    its track. `first` and `count` are in the medium's unit (rows of the full picture, samples, bytes ...) and
    0 for a TABLE. The DATA chunks of a track come in order: each begins at or after the end of the last.
    """

    payload: bytes
    first: int = 0
    count: int = 0
    layer: int = 0
    kind: Kind = Kind.DATA
    track: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What a decoder knows before the first chunk.

    `dims` are those of the signal that decode returns, named by DIM_NAMES; `params` is the codec's own, what
    its decoder needs beside them; `model` is b"" or the first 8 bytes of the SHA-256 of the weights file.
    `lossless` is not stored: by it an encoder states that decoding gives this very signal, so that the api
    can write the CHECK digest without decoding.
    """

    media: Media
    codec: str
    version: int
    dims: tuple[int, ...]
    params: bytes = b""
    model: bytes = b""
    lossless: bool = False

    @classmethod
    def of(
        cls,
        codec: Codec[Any],
        signal: Signal,
        params: bytes = b"",
        model: bytes = b"",
        *,
        lossless: bool = False,
    ) -> Header:
        """The header of `signal` coded by `codec`."""
        return cls(
            MEDIA_OF[type(signal)], codec.name, codec.version, dims_of(signal), params, model, lossless
        )

    def __getattr__(self, name: str) -> int:
        """A dim by its name: `header.width`."""
        names = () if name in ("media", "dims") or name.startswith("_") else DIM_NAMES[self.media]
        if name not in names:
            raise AttributeError(f"this header has no {name}")
        return self.dims[names.index(name)]

    @property
    def length(self) -> int:
        """How many of the medium's units the signal has: rows, samples, bytes ..."""
        return self.dims[_LENGTH_DIM[self.media]]

    def with_length(self, length: int) -> Header:
        """This header with another number of units."""
        at = _LENGTH_DIM[self.media]
        return replace(self, dims=(*self.dims[:at], length, *self.dims[at + 1 :]))

    def signal(self, values: Any) -> Any:
        """The signal of this header's medium and properties around `values` (array, bytes or cells)."""
        match self.media:
            case Media.BYTES:
                return Blob(values)
            case Media.IMAGE:
                return Image(values, self.bit_depth, COLORS[self.color])
            case Media.AUDIO:
                return Audio(values, self.sample_rate_hz)
            case Media.VIDEO:
                return Video(values, Fraction(self.rate_num, self.rate_den))
            case Media.TOKENS:
                return Tokens(values, self.vocab_size)
            case Media.VECTORS:
                return Vectors(values)
            case Media.FORMULAS:
                return Formulas(values)


_LENGTH_DIM: Mapping[Media, int] = {
    Media.BYTES: 0,
    Media.IMAGE: 1,
    Media.AUDIO: 2,
    Media.VIDEO: 5,
    Media.TOKENS: 2,
    Media.VECTORS: 0,
    Media.FORMULAS: 0,
}


def dims_of(signal: Signal) -> tuple[int, ...]:
    """The dims of a signal, in the order of DIM_NAMES. An unlisted Video has 0 frames, width, height."""
    match signal:
        case Image():
            return (
                signal.width,
                signal.height,
                signal.channels,
                signal.bit_depth,
                COLORS.index(signal.color),
            )
        case Audio():
            return (signal.sample_rate_hz, signal.channels, signal.num_samples)
        case Video():
            frames = signal.frames if isinstance(signal.frames, (list, tuple)) else ()
            height, width = frames[0].shape[:2] if frames else (0, 0)
            return (width, height, 0, signal.frame_rate.numerator, signal.frame_rate.denominator, len(frames))
        case Blob():
            return (len(signal.data),)
        case Tokens():
            return (signal.vocab_size, int(signal.ids.shape[0]), int(signal.ids.shape[1]))
        case Vectors():
            return (int(signal.values.shape[0]), int(signal.values.shape[1]))
        case Formulas():
            return (len(signal.cells),)


@dataclass(frozen=True, slots=True)
class Want:
    """Which part of a signal to decode; the default is all of it.

    `scale` is 1/2**k: pictures of ceil(width / 2**k) by ceil(height / 2**k). `start` and `stop` are in the
    medium's unit and clipped like a slice. `region` is (x, y, width, height) in the full picture; scaled, it
    covers every pixel it touches. Both at once is an OptionError.

    >>> from narrows.contracts import Want
    >>> Want(scale=0.25).shift, Want(start=10).span(100), Want().full
    (2, (10, 100), True)
    """

    scale: Fraction = Fraction(1)
    start: int | None = None
    stop: int | None = None
    region: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        try:
            scale = Fraction(self.scale)
        except (TypeError, ValueError, ArithmeticError):
            raise OptionError(f"scale must be 1/2**k, not {self.scale!r}") from None
        if scale.numerator != 1 or scale.denominator & (scale.denominator - 1):
            raise OptionError(f"scale must be 1, 1/2, 1/4, 1/8 ..., not {self.scale}")
        if (self.start or 0) < 0 or (self.stop is not None and self.stop < (self.start or 0)):
            raise OptionError(f"start and stop must be 0 <= start <= stop, not {self.start} and {self.stop}")
        if self.region is not None:
            if self.start is not None or self.stop is not None:
                raise OptionError("region and start or stop say the same thing twice: give one")
            try:
                x, y, width, height = region = tuple(map(operator.index, self.region))
            except (TypeError, ValueError):
                raise OptionError(f"region must be four integers, not {self.region!r}") from None
            if min(x, y) < 0 or min(width, height) < 1:
                raise OptionError(f"region must be x, y >= 0 and width, height >= 1, not {self.region}")
            object.__setattr__(self, "region", region)
        object.__setattr__(self, "scale", scale)

    @property
    def shift(self) -> int:
        """k of scale 1/2**k."""
        return self.scale.denominator.bit_length() - 1

    @property
    def full(self) -> bool:
        """Whether the whole signal is wanted."""
        return self.scale == 1 and self.start is None and self.stop is None and self.region is None

    def span(self, length: int) -> tuple[int, int]:
        """First and one past the last unit wanted, of `length`: of rows for a region."""
        if self.region is not None:
            return min(self.region[1], length), min(self.region[1] + self.region[3], length)
        stop = length if self.stop is None else min(self.stop, length)
        return min(self.start or 0, stop), stop


def shrink(pixels: Array, shift: int) -> Array:
    """Box average of [height, width, channels] by 2**shift: ceil sizes, edge boxes average what they have.

    Integers, rounded half up: the same on every machine.
    """
    if shift == 0:
        return pixels
    size = 1 << shift
    rows = np.arange(0, pixels.shape[0], size)
    columns = np.arange(0, pixels.shape[1], size)
    total = np.add.reduceat(pixels, rows, axis=0, dtype=np.int64)
    total = np.add.reduceat(total, columns, axis=1)
    heights = np.minimum(size, pixels.shape[0] - rows)[:, np.newaxis, np.newaxis]
    widths = np.minimum(size, pixels.shape[1] - columns)[np.newaxis, :, np.newaxis]
    area = heights * widths
    return cast(Array, ((total + area // 2) // area).astype(pixels.dtype))


def crop(signal: Any, want: Want, first: int = 0, length: int | None = None) -> Any:
    """The part of `signal` that `want` asks for. Images are already scaled; `first` is its first unit.

    A codec that decodes everything ends with `return crop(signal, want)`. One that decoded units from `first`
    on only, of `length` in all, says so; for scaled images both are still rows of the full picture.
    """
    shift = want.shift
    if isinstance(signal, Image):
        total = (first + (signal.height << shift)) if length is None else length
        start, stop = want.span(total)
        x, width = (want.region[0], want.region[2]) if want.region else (0, signal.width << shift)
        top, bottom = (start >> shift) - (first >> shift), -(-stop >> shift) - (first >> shift)
        pixels = signal.pixels[top:bottom, x >> shift : -(-(x + width) >> shift)]
        if pixels.size == 0:
            raise OptionError(
                f"the part asked for lies outside the picture of {signal.width} x {signal.height}"
            )
        return replace(signal, pixels=pixels)
    if shift or want.region is not None:
        raise OptionError("scale and region are for pictures")
    if isinstance(signal, Video):
        start, stop = want.span(2**63 if length is None else length)
        frames = [frame for number, frame in enumerate(signal.frames, first) if start <= number < stop]
        return replace(signal, frames=frames)
    values = {
        Audio: "samples",
        Blob: "data",
        Tokens: "ids",
        Vectors: "values",
        Formulas: "cells",
    }[type(signal)]
    items = getattr(signal, values)
    if isinstance(signal, Tokens):
        start, stop = want.span(first + items.shape[1] if length is None else length)
        return replace(signal, ids=items[:, max(start - first, 0) : max(stop - first, 0)])
    start, stop = want.span(first + len(items) if length is None else length)
    return replace(signal, **{values: items[max(start - first, 0) : max(stop - first, 0)]})


class ChunkSource(Protocol):
    """The coded chunks (DATA, PART, TABLE) of one track, in file order, read when asked for and not before.

    A codec stops iterating when it has what it needs; what is behind is then never read, from a pipe either.
    Each chunk is given once, its checksum verified: a second iteration goes on behind the first. Reading past
    the end of a cut file raises TruncatedStream, unless `partial`: then damaged chunks, and the PARTs behind
    them up to the next DATA, are left out, the iteration ends early, and the codec fills the hole as its
    medium defines. Without `partial` a chunk missing at a regular end is the codec's to refuse.
    """

    @property
    def partial(self) -> bool:
        """Whether holes are to be filled rather than refused."""
        ...

    def __iter__(self) -> Iterator[Chunk]:
        """Every chunk."""
        ...

    def layers(self, highest: int) -> Iterator[Chunk]:
        """Chunks of layers 0 to `highest`; others are skipped, and those behind the last not even reached."""
        ...

    def select(self, keep: Callable[[Chunk], bool]) -> Iterator[Chunk]:
        """Chunks that `keep`, which sees them without their payload, wants; the others are skipped."""
        ...

    def covering(self, want: Want) -> Iterator[Chunk]:
        """TABLEs, and each DATA with its PARTs whose [first, first + count) meets `want`; seeks if it can."""
        ...


T = TypeVar("T", Image, Audio, Video, Blob, Tokens, Vectors, Formulas)


class Codec(Protocol[T]):
    """A signal to chunks and back. An instance holds immutable weights and nothing else: threads share it.

    `traits` are promises that the conformance suite tests: `lossless` (some options decode to the very
    signal; without options by default), `exact` (same samples on every machine), `progressive` (scale reads
    only the layers it needs), `seekable` (start and stop read only the chunks they meet), `streaming`.
    """

    @property
    def name(self) -> str:
        """1 to 32 of a-z 0-9 . _ / -"""
        ...

    @property
    def version(self) -> int:
        """Bitstream version, 0 to 255; decode gets any up to this."""
        ...

    @property
    def signal(self) -> type[T]:
        """The type of signal it codes."""
        ...

    @property
    def traits(self) -> frozenset[str]:
        """What it promises."""
        ...

    @property
    def options(self) -> type[Any]:
        """A frozen dataclass of encoder options that raises OptionError in its constructor."""
        ...

    def encode(self, signal: T, options: Any, *, threads: int = 1) -> tuple[Header, Iterator[Chunk]]:
        """The header, complete, and the chunks, made as they are taken. Bytes do not depend on `threads`."""
        ...

    def decode(
        self,
        header: Header,
        chunks: ChunkSource,
        want: Want,
        *,
        threads: int = 1,
        limits: Limits = Limits(),
    ) -> T:
        """The signal, or the part wanted; never more memory than `header` declares, which passed `limits`.

        Raises CorruptStream for chunks or params that lie, LimitExceeded for params beyond `limits`.
        """
        ...


class Tokenizer(Protocol[T]):
    """A signal to ids in [0, vocab_size) and back."""

    @property
    def name(self) -> str:
        """As in the registry."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids are below it."""
        ...

    @property
    def num_codebooks(self) -> int:
        """Rows of ids."""
        ...

    @property
    def signal(self) -> type[T]:
        """The type of signal it takes."""
        ...

    def tokenize(self, signal: T) -> Tokens:
        """Ids of `signal`; they do not depend on how signals are batched."""
        ...

    def detokenize(self, tokens: Tokens) -> T:
        """The signal that `tokens` stand for; ValueError for ids outside the vocabulary."""
        ...


@dataclass(frozen=True, slots=True)
class Packet:
    """A unit of a live stream: `seq` counts frames from 0, `time` is that in the codec's internal samples.

    `count` is the samples it adds; `copies` are (distance, payload) of earlier packets coded coarsely. The
    wire carries `count` for the last packet only: a decoder gets 0 in all others.
    """

    seq: int
    time: int
    count: int
    payload: bytes
    key: bool
    last: bool = False
    copies: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """How far a session's output is behind its input: frame length plus look-ahead, in milliseconds."""

    frame_ms: float
    lookahead_ms: float


class Encoder(Protocol):
    """One direction of one stream: blocks to packets. Owns its state; one caller at a time."""

    @property
    def latency(self) -> Latency:
        """Frame and look-ahead."""
        ...

    @property
    def header(self) -> bytes:
        """The complete `.nrws` preamble, live flag set: what `narrows.decoder` needs."""
        ...

    def push(self, block: Array | Signal) -> list[Packet]:
        """Packets that `block` (of any length, 0 too) completes. How input was split changes nothing."""
        ...

    def finish(self) -> list[Packet]:
        """The remaining packets; the last has `last` set."""
        ...

    def save(self) -> bytes:
        """The state; `narrows.encoder(..., state=b)` goes on from it as if nothing had happened."""
        ...


class Decoder(Protocol):
    """One direction of one stream: packets to blocks."""

    @property
    def latency(self) -> Latency:
        """As the encoder's: `frame_ms` is how long a packet lasts, which play-out needs to know."""
        ...

    @property
    def packet_frames(self) -> int:
        """By how much seq grows from packet to packet."""
        ...

    def samples_before(self, seq: int) -> int:
        """Samples of the signal that packets below `seq` add."""
        ...

    def seek(self, seq: int) -> None:
        """Go on at `seq` as if nothing had been heard before: for who joins late, or a sender that jumped."""
        ...

    def push(self, packet: Packet | None) -> Array:
        """Samples of `packet`; None is lost: conceal. PacketError leaves the state untouched."""
        ...

    def finish(self) -> Array:
        """The remaining samples."""
        ...

    def save(self) -> bytes:
        """The state, for `narrows.decoder(header, state=b)`."""
        ...


class StreamingCodec(Codec[T], Protocol[T]):
    """A codec with sessions: trait `streaming`. Its encode and decode are loops over a session."""

    def encoder(self, header: Header, options: Any, *, state: bytes | None = None) -> Encoder:
        """A session that makes packets, from the start or from a saved state."""
        ...

    def decoder(self, header: Header, *, state: bytes | None = None, limits: Limits = Limits()) -> Decoder:
        """A session that takes packets. LimitExceeded where one of them may give more than `limits` allow."""
        ...

    def chunk(self, packets: list[Packet], first: int) -> Chunk:
        """A DATA chunk of packets that follow each other, adding samples from `first` on.

        An empty payload stands for a packet that never came.
        """
        ...

    def blocks(self, header: Header, chunks: ChunkSource, *, limits: Limits = Limits()) -> Iterator[T]:
        """The signal in blocks, one in memory at a time; `header` need not know its length."""
        ...


def check_range(name: str, value: object, low: float, high: float) -> None:
    """OptionError unless `value` is a number in [low, high]. For the constructors of option dataclasses."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= cast(float, value) <= high:
        raise OptionError(f"{name} must be {low:g} to {high:g}, not {value!r}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """OptionError unless `value` is one of `choices`."""
    if value not in choices:
        raise OptionError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def output_bytes(header: Header) -> int:
    """Bytes of the signal that decode returns, which `max_output_bytes` bounds. 0 where not declared."""
    match header.media:
        case Media.BYTES:
            return header.size
        case Media.IMAGE:
            return prod(header.dims[:3]) * (1 if header.bit_depth <= 8 else 2)
        case Media.AUDIO:
            return header.channels * header.num_samples * 4
        case Media.VIDEO:
            return header.width * header.height * 3 * header.num_frames
        case Media.TOKENS:
            return header.num_codebooks * header.num_steps * 8
        case Media.VECTORS:
            return header.num_vectors * header.dim * 4
        case Media.FORMULAS:
            return 0
