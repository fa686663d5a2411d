"""The payload of an entropy model: pieces of coded symbols behind a head that knows the model's digest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from narrows._core import crc32c
from narrows.container.forms import Input, varint
from narrows.errors import CorruptStream, UnsupportedStream
from narrows.limits import Limits

PASSES, STREAM = 3, 4
"""Profiles: a rANS payload for each pass; or everything in one range-coder stream."""

_VERSION = 1
_HASH, _CHECK = 16, 64


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

    def to_bytes(self, check: bool) -> bytes:
        flags = (_HASH if self.hashed else 0) | (_CHECK if check else 0)
        head = bytes([_VERSION << 4 | self.profile, flags]) + self.digest
        out = head + varint(self.num_symbols) + varint(self.passes)
        out += b"".join(varint(len(piece)) + piece for piece in self.pieces)
        return out + crc32c(out).to_bytes(4, "little") if check else out

    @classmethod
    def parse(cls, payload: bytes | bytearray | memoryview, check: bool) -> ModelPayload:
        """Take a payload apart; CorruptStream or UnsupportedStream unless it is whole and sound."""
        source = Input(payload)
        kind, flags = source.read(2)
        if kind >> 4 != _VERSION or kind & 15 not in (PASSES, STREAM) or flags & ~(_HASH | _CHECK):
            raise UnsupportedStream("the payload is of no model, or of a newer version", 0)
        made = cls(kind & 15, source.read(4), source.varint(), source.varint(2**16), bool(flags & _HASH))
        for _ in range(made.passes if made.profile == PASSES else 1):
            made.pieces.append(source.read(source.varint()))
        if flags & _CHECK:
            source.check("the payload's checksum differs: it is damaged", 0)
        elif check:
            raise CorruptStream("the payload has no checksum: decode it with check=False")
        if not source.at_end():
            raise CorruptStream("bytes follow the payload", source.position)
        return made

    def expect(self, profiles: Sequence[int], passes: int, num_symbols: int, digest: bytes) -> None:
        """Raise CorruptStream unless the payload holds these symbols of the model with this digest."""
        if self.profile not in profiles or self.passes != passes:
            raise CorruptStream(f"the payload has {self.passes} passes of a model of another kind")
        if self.num_symbols != num_symbols:
            raise CorruptStream(f"the payload holds {self.num_symbols:,} symbols, not {num_symbols:,}")
        if self.digest != digest:
            raise CorruptStream(
                f"tables differ: stream {self.digest.hex()}, installed {digest.hex()}: "
                "your model has or computed other tables than the encoder's"
            )


def count_of(shape: tuple[int, ...], limits: Limits) -> int:
    """Return how many int32 symbols `shape` has; ValueError below 0, LimitExceeded for too many."""
    if any(size < 0 for size in shape):
        raise ValueError(f"a shape has no negative size: {shape}")
    count = math.prod(shape)
    limits.check("max_output_bytes", 4 * count)
    return count


def hash_of(index: npt.NDArray[np.integer], shift: npt.NDArray[np.int32] | None) -> int:
    """Return the CRC-32C of the indexes as u16 and, unless all are 0, the shifts as i32."""
    value = int(crc32c(np.ascontiguousarray(index, "<u2")))
    if shift is not None and shift.any():
        value = int(crc32c(np.ascontiguousarray(shift, "<i4"), value))
    return value
