"""A seeded mutator that knows the container: bytes, fields and whole chunks; checksums repaired or not."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from narrows._core import crc32c


def _varint(data: bytes | bytearray, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80 or shift > 56:
            return value, position
    raise IndexError(position)


def frames(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """(start, start of the body, end) of the preamble and of each chunk, as far as lengths lead."""
    try:
        length, body = _varint(data, 6)
        end = body + length + 4
        start = 0
        while end <= len(data):
            yield start, body, end
            start = end
            length, body = _varint(data, start + 1)
            end = body + length + 4
    except IndexError:
        return


def repaired(data: bytes | bytearray) -> bytes:
    """`data` with every checksum that framing leads to made right."""
    out = bytearray(data)
    for start, _, end in list(frames(out)):
        out[end - 4 : end] = struct.pack("<I", crc32c(bytes(out[start : end - 4])))
    return bytes(out)


_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0xFE, 0x20)
_NUMBERS = (b"\xff\x7f", b"\x80\x00", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x80\x01")


def _bytes(data: bytearray, rng: random.Random) -> None:
    """One to four changes of bytes anywhere."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(6):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at] = rng.choice(_EDGES)
            case 2 if data:
                data[at] = rng.randrange(256)
            case 3:
                del data[at : at + rng.choice((1, 1, 2, 4, 16))]
            case 4:
                data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 16)))
            case 5 if data:
                del data[at:]


def _field(data: bytearray, rng: random.Random) -> None:
    """A change in the first bytes of a frame's body, where the fields are, or in its length."""
    spans = list(frames(data))
    if not spans:
        return
    start, body, end = rng.choice(spans)
    at = rng.choice((start, body - 1, body, body + 1, body + 2, body + 3, rng.randrange(start, end)))
    at = min(at, len(data) - 1)
    match rng.randrange(4):
        case 0:
            data[at] = rng.choice(_EDGES)
        case 1:
            data[at] = (data[at] + rng.choice((-1, 1))) & 0xFF
        case 2:
            data[at : at + 1] = rng.choice(_NUMBERS)
        case 3:
            data[at] ^= 1 << rng.randrange(8)


def _chunks(data: bytearray, rng: random.Random) -> None:
    """A chunk left out, doubled, moved, emptied or cut; the preamble stays."""
    pieces = [bytes(data[start:end]) for start, _, end in frames(data)]
    if len(pieces) < 2:
        return
    at = rng.randrange(1, len(pieces))
    match rng.randrange(5):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(at, pieces[at])
        case 2:
            pieces.insert(rng.randrange(1, len(pieces)), pieces.pop(at))
        case 3:
            pieces[at] = pieces[at][:1] + b"\0" + pieces[at][-4:]
        case 4:
            cut = rng.randrange(len(pieces[at]))
            length, body = _varint(pieces[at], 1)
            payload = pieces[at][body : body + min(length, cut)]
            if len(payload) < 128:
                pieces[at] = pieces[at][:1] + bytes([len(payload)]) + payload + bytes(4)
    data[:] = b"".join(pieces)


def mutations(data: bytes, count: int, seed: int) -> Iterator[tuple[bytes, bool]]:
    """`count` damaged versions of `data`, each with whether its checksums were repaired: every second is."""
    rng = random.Random(seed)
    made = 0
    while made < count:
        out = bytearray(data)
        repair = made % 2 == 1
        if repair:
            for _ in range(rng.choice((1, 1, 2, 3))):
                rng.choice((_bytes, _field, _field, _chunks))(out, rng)
            result = repaired(out)
        else:
            rng.choice((_bytes, _bytes, _field))(out, rng)
            result = bytes(out)
        if result != data:
            made += 1
            yield result, repair
