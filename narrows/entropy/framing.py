"""The payload of an entropy model: pieces of coded symbols behind a head that knows the model's digest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index

import numpy as np
import numpy.typing as npt

from narrows._core import crc32c
from narrows.container.forms import Input, varint
from narrows.entropy.coder import Payload
from narrows.errors import CorruptStream, UnsupportedStream
from narrows.limits import Limits

PASSES, STREAM = 3, 4
"""Profiles: a rANS payload for each pass; or everything in one range-coder stream."""

_VERSION = 1
_HASH, _CHECK = 16, 64
_MOST_PASSES = 1 << 16


@dataclass
class ModelPayload:
    """What is between `encode_symbols` and bytes; docs/format.md, "Payloads of models".

    `digest` is the CRC-32C of the model's tables; `pieces` has one for each pass (PASSES) or one (STREAM).
    """

    profile: int
    digest: bytes
    num_symbols: int
    passes: int
    hashed: bool
    pieces: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.passes <= _MOST_PASSES:
            raise ValueError(f"a model has at most {_MOST_PASSES:,} passes, not {self.passes:,}")

    def to_bytes(self, check: bool) -> bytes:
        flags = (_HASH if self.hashed else 0) | (_CHECK if check else 0)
        head = bytes([_VERSION << 4 | self.profile, flags]) + self.digest
        out = head + varint(self.num_symbols) + varint(self.passes)
        out += b"".join(varint(len(piece)) + piece for piece in self.pieces)
        return out + crc32c(out).to_bytes(4, "little") if check else out

    @classmethod
    def parse(cls, payload: Payload, check: bool) -> ModelPayload:
        """Take a payload apart; CorruptStream or UnsupportedStream unless it is whole and sound."""
        source = Input(bytes_of(payload))
        kind, flags = source.read(2)
        if kind >> 4 != _VERSION or kind & 15 not in (PASSES, STREAM) or flags & ~(_HASH | _CHECK):
            raise UnsupportedStream("the payload is of no model, or of a newer version", 0)
        made = cls(
            kind & 15, source.read(4), source.varint(), source.varint(_MOST_PASSES), bool(flags & _HASH)
        )
        for _ in range(made.passes if made.profile == PASSES else 1):
            made.pieces.append(source.read(source.varint()))
        if flags & _CHECK:
            source.check("the payload's checksum differs: it is damaged", 0)
        elif check:
            raise CorruptStream("the payload has no checksum: decode it with check=False")
        if not source.at_end():
            raise CorruptStream("bytes follow the payload", source.position)
        return made

    @classmethod
    def read(
        cls,
        payload: Payload,
        check: bool,
        num_symbols: int,
        digest: bytes,
        profiles: Sequence[int] = (STREAM,),
        passes: int = 1,
    ) -> ModelPayload:
        """Parse a payload; CorruptStream unless it holds these symbols of the model with this digest."""
        made = cls.parse(payload, check)
        if made.profile not in profiles or made.passes != passes:
            raise CorruptStream(f"the payload has {made.passes} passes of a model of another kind")
        if made.num_symbols != num_symbols:
            raise CorruptStream(f"the payload holds {made.num_symbols:,} symbols, not {num_symbols:,}")
        if made.digest != digest:
            raise CorruptStream(
                f"tables differ: stream {made.digest.hex()}, installed {digest.hex()}: "
                "your model has or computed other tables than the encoder's"
            )
        return made


def bytes_of(payload: Payload) -> bytes:
    """Return a payload as bytes; TypeError for what holds none."""
    return payload if isinstance(payload, bytes) else memoryview(payload).tobytes()


def checked_shape(shape: Sequence[int], limits: Limits) -> tuple[tuple[int, ...], int]:
    """Return `shape` as a tuple, and how many int32 symbols it has.

    Raises ValueError for sizes that are no counts, LimitExceeded for too many symbols.
    """
    try:
        wanted = tuple(index(size) for size in shape)
    except TypeError:
        raise ValueError(f"a shape holds integers: {shape!r}") from None
    if any(size < 0 for size in wanted):
        raise ValueError(f"a shape has no negative size: {wanted}")
    count = math.prod(wanted)
    limits.check("max_output_bytes", 4 * count)
    return wanted, count


def hash_of(which: npt.NDArray[np.integer], shift: npt.NDArray[np.int32] | None) -> int:
    """Return the CRC-32C of the indexes as u16 and, unless all are 0, the shifts as i32."""
    value = int(crc32c(np.ascontiguousarray(which, "<u2")))
    if shift is not None and shift.any():
        value = int(crc32c(np.ascontiguousarray(shift, "<i4"), value))
    return value
