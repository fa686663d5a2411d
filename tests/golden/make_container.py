"""Writes the golden container files: `python tests/golden/make_container.py`. Every byte is spelled out here.

Nothing of Narrows is used, the checksum included, so that these files judge the reader and the writer. In a
spelling `crc` stands for the CRC32C of the bytes since the last one, `bad` for a wrong one, and what follows
`#` is comment. Expectations are written down beside the bytes, not taken from a reader.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def crc32c(data: bytes) -> int:
    """Castagnoli, bit by bit: polynomial 0x1EDC6F41 reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def spell(text: str) -> bytes:
    """The bytes of a spelling."""
    out, start = bytearray(), 0
    for line in text.splitlines():
        for word in line.partition("#")[0].split():
            if word in ("crc", "bad"):
                out += (crc32c(bytes(out[start:])) ^ (word == "bad")).to_bytes(4, "little")
                start = len(out)
            elif word.startswith("'"):
                out += word.strip("'").encode()
            else:
                out += bytes.fromhex(word)
    return bytes(out)


def header(media: str, codec: str, dims: list[int], **more: Any) -> dict[str, Any]:
    return {"media": media, "codec": codec, "version": 1, "model": "", "dims": dims, "params": "", **more}


def chunk(
    kind: str, payload: str, first: int = 0, count: int = 0, layer: int = 0, track: int = 0
) -> dict[str, Any]:
    return {"kind": kind, "track": track, "layer": layer, "first": first, "count": count, "payload": payload}


HELLO = """
89 4e 52 57              # magic
01 00 0b                 # version 1, flags 0, header of 11 bytes
00                       # medium: bytes
05 'bytes'               # codec
01                       # version of the codec
00                       # no model
05                       # size 5
00                       # no params
crc
"""
HELLO_DATA = """
01 09                    # DATA, 9 bytes
00 00 05                 # entry: track 0, layer 0, first 0, count 5
00 'hello'               # stored
crc
"""
END_1 = "\n7f 01 01 crc    # END, one chunk before it"
END_2 = "\n7f 01 02 crc"
END_3 = "\n7f 01 03 crc"
HELLO_HEADER = header("bytes", "bytes", [5])
HELLO_CHUNK = chunk("DATA", "00" + b"hello".hex(), 0, 5)
LIVE = HELLO.replace("01 00 0b", "01 01 0b").replace("05                       # size 5", "00 # size unknown")
INDEXED = HELLO.replace("01 00 0b", "01 02 0b")
INDEX = "c1 05 01 00 16 00 05 crc     # INDEX: DATA, track 0 layer 0, 22 bytes on, first 0, count 5"
INDEXED_END = "7f 08 02 00 00 00 0b 00 00 00 crc     # END: two chunks, INDEX begins 11 bytes before"
IMAGE = """
89 4e 52 57 01 00 14
01 0a 'test/image' 01 00
01 01 03 08 01           # width 1, height 1, 3 channels, 8 bits, sRGB
00
crc
"""
IMAGE_HEADER = header("image", "test/image", [1, 1, 3, 8, 1])
IMAGE_DATA = "01 06 00 00 01 ff 80 00 crc"
IMAGE_CHUNK = chunk("DATA", "ff8000", 0, 1)
LAYERS = """
89 4e 52 57 01 00 16
01 0a 'test/image' 01 00
28 20 01 08 01           # 40 x 32, grey
02 aa bb                 # two bytes of params
crc
01 04 00 00 20 01 crc    # DATA, layer 0: all 32 rows
02 04 01 00 20 02 crc    # PART, layer 1: all rows
02 04 02 00 10 03 crc    # PART, layer 2: rows 0 to 15
02 04 02 10 10 04 crc    # PART, layer 2: rows 16 to 31
7f 01 04 crc
"""
TWO_TRACKS = (
    HELLO
    + """
04 0b 00 05 'bytes' 01 00 03 00 crc     # TRACK 1: three bytes
"""
    + HELLO_DATA
    + """
01 07 10 00 03 00 'abc' crc             # DATA of track 1
7f 01 03 crc
"""
)


def ancillary(kind: str, payload: str, end: str = END_2) -> str:
    return HELLO + f"{kind} {payload} crc\n" + HELLO_DATA + end


def vector(text: str, head: dict[str, Any], chunks: list[Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return text, {"header": head, "live": False, "indexed": False, "metadata": {}, "chunks": chunks, **more}


def smallest(media: str, number: int, dims: str, values: list[int]) -> tuple[str, dict[str, Any]]:
    codec = f"test/{media}"
    form = f"{number:02x} {len(codec):02x} '{codec}' 01 00 {dims} 00"
    length = len(spell(form))
    return vector(f"89 4e 52 57 01 00 {length:02x} {form} crc 7f 01 00 crc", header(media, codec, values), [])


DECODED = {"size": 5, "crc32c": "4cbb719a"}
VALID: dict[str, tuple[str, dict[str, Any]]] = {
    "hello": vector(HELLO + HELLO_DATA + END_1, HELLO_HEADER, [HELLO_CHUNK], decoded=DECODED),
    "bytes-empty": vector(
        HELLO.replace("05                       # size 5", "00") + "7f 01 00 crc",
        header("bytes", "bytes", [0]),
        [],
        decoded={"size": 0, "crc32c": "00000000"},
    ),
    "image": vector(IMAGE + IMAGE_DATA + END_1, IMAGE_HEADER, [IMAGE_CHUNK]),
    "audio-empty": smallest("audio", 2, "80 7d 01 00", [16_000, 1, 0]),
    "video-empty": smallest("video", 3, "02 02 01 19 01 00", [2, 2, 1, 25, 1, 0]),
    "tokens-empty": smallest("tokens", 4, "80 08 01 00", [1024, 1, 0]),
    "vectors-empty": smallest("vectors", 5, "00 08", [0, 8]),
    "formulas-empty": smallest("formulas", 6, "00", [0]),
    "icc": vector(
        ancillary("82", "03 'icc'"),
        HELLO_HEADER,
        [HELLO_CHUNK],
        metadata={"icc": b"icc".hex()},
        decoded=DECODED,
    ),
    "exif": vector(
        ancillary("83", "04 'exif'"),
        HELLO_HEADER,
        [HELLO_CHUNK],
        metadata={"exif": b"exif".hex()},
        decoded=DECODED,
    ),
    "xmp": vector(
        ancillary("84", "04 '<x/>'"),
        HELLO_HEADER,
        [HELLO_CHUNK],
        metadata={"xmp": b"<x/>".hex()},
        decoded=DECODED,
    ),
    "tags": vector(
        ancillary("85", """18 '{"by":["a","b"],"t":"u"}'"""),
        HELLO_HEADER,
        [HELLO_CHUNK],
        metadata={"tags": {"by": ["a", "b"], "t": "u"}},
        decoded=DECODED,
    ),
    "note": vector(
        ancillary("87", "0b 'narrows/0.1'"),
        HELLO_HEADER,
        [HELLO_CHUNK],
        metadata={"note": "narrows/0.1"},
        decoded=DECODED,
    ),
    "tags-behind-data": vector(
        HELLO + HELLO_DATA + "85 02 '{}' crc" + END_2,
        HELLO_HEADER,
        [HELLO_CHUNK],
        metadata={"tags": {}},
        decoded=DECODED,
    ),
    "check-crc32c": vector(
        HELLO + HELLO_DATA + "c6 05 01 4c bb 71 9a crc # of hello\n" + END_2,
        HELLO_HEADER,
        [HELLO_CHUNK],
        check=[1, "4cbb719a"],
        decoded=DECODED,
    ),
    "check-sha256": vector(
        HELLO
        + HELLO_DATA
        + "c6 21 02 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 crc # of hello\n"
        + END_2,
        HELLO_HEADER,
        [HELLO_CHUNK],
        check=[2, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"],
        decoded=DECODED,
    ),
    "unknown-ancillary": vector(
        HELLO + "a1 02 01 02 crc ff 00 crc" + HELLO_DATA + "88 01 00 crc 7f 01 04 crc",
        HELLO_HEADER,
        [HELLO_CHUNK],
        decoded=DECODED,
    ),
    "live": vector(
        LIVE + "01 06 00 00 02 00 'he' crc 01 07 00 02 03 00 'llo' crc" + END_2,
        header("bytes", "bytes", [0]),
        [chunk("DATA", "00" + b"he".hex(), 0, 2), chunk("DATA", "00" + b"llo".hex(), 2, 3)],
        live=True,
        decoded=DECODED,
    ),
    "indexed": vector(
        INDEXED + HELLO_DATA + INDEX + "\n" + INDEXED_END,
        HELLO_HEADER,
        [HELLO_CHUNK],
        indexed=True,
        decoded=DECODED,
    ),
    "two-tracks": vector(
        TWO_TRACKS,
        HELLO_HEADER,
        [HELLO_CHUNK, chunk("DATA", "00" + b"abc".hex(), 0, 3, track=1)],
        tracks=[header("bytes", "bytes", [3])],
        decoded=DECODED,
    ),
    "layers": vector(
        LAYERS,
        header("image", "test/image", [40, 32, 1, 8, 1], params="aabb"),
        [
            chunk("DATA", "01", 0, 32),
            chunk("PART", "02", 0, 32, 1),
            chunk("PART", "03", 0, 16, 2),
            chunk("PART", "04", 16, 16, 2),
        ],
    ),
    "table": vector(
        HELLO + "03 03 00 aa bb crc # TABLE: track 0 layer 0, two bytes\n" + HELLO_DATA + END_2,
        HELLO_HEADER,
        [chunk("TABLE", "aabb"), HELLO_CHUNK],
    ),
    "model": vector(
        "89 4e 52 57 01 00 1b 01 09 'test/wave' 01 08 01 02 03 04 05 06 07 08 01 01 01 10 00 00 crc"
        " 01 05 00 00 01 aa bb crc 7f 01 01 crc",
        header("image", "test/wave", [1, 1, 1, 16, 0], model="0102030405060708"),
        [chunk("DATA", "aabb", 0, 1)],
    ),
}

CORRUPT, TRUNCATED, UNSUPPORTED = "CorruptStream", "TruncatedStream", "UnsupportedStream"


def swap(text: str, old: str, new: str) -> str:
    """`text` with one spelling replaced; an error here if it is not there exactly once."""
    if text.count(old) != 1:
        raise ValueError(f"{old!r} comes {text.count(old)} times")
    return text.replace(old, new)


def form(hexes: str) -> str:
    """A preamble around the spelling of a header, and END."""
    length = len(spell(hexes))
    size = f"{length:02x}" if length < 128 else f"{length & 127 | 128:02x} {length >> 7:02x}"
    return f"89 4e 52 57 01 00 {size} {hexes} crc 7f 01 00 crc"


PLAIN = HELLO + HELLO_DATA + END_1
FULL = INDEXED + HELLO_DATA + INDEX + "\n" + INDEXED_END
FIRST_OF_MANY = "01 03 00 00 01 crc 7f 01 01"
LONG = "'" + "a" * 33 + "'"
# name: spelling, exception, offset (None where the exception has none)
ERRORS: dict[str, tuple[str, str, int | None]] = {
    "empty": ("", TRUNCATED, 0),
    "magic-text": ("'hello,' ", CORRUPT, 0),
    "magic-last-byte": (swap(PLAIN, "89 4e 52 57 ", "89 4e 52 58 "), CORRUPT, 3),
    "version-0": (swap(PLAIN, "01 00 0b", "00 00 0b"), UNSUPPORTED, 4),
    "version-2": (swap(PLAIN, "01 00 0b", "02 00 0b"), UNSUPPORTED, 4),
    "flag-reserved": (swap(PLAIN, "01 00 0b", "01 04 0b"), UNSUPPORTED, 5),
    "header-length-0": ("89 4e 52 57 01 00 00 crc 7f 01 00 crc", CORRUPT, 7),
    "header-length-long-form": (swap(PLAIN, "01 00 0b", "01 00 8b 00"), CORRUPT, 6),
    "header-length-above-65535": ("89 4e 52 57 01 00 80 80 04 " + "00 " * 64, CORRUPT, 6),
    "header-too-short": (form("00 05 'bytes' 01 00 05"), CORRUPT, 17),
    "header-trailing-byte": (form("00 05 'bytes' 01 00 05 00 00"), CORRUPT, 18),
    "medium-7": (form("07 05 'bytes' 01 00 05 00"), UNSUPPORTED, 7),
    "name-empty": (form("00 00 01 00 05 00"), CORRUPT, 9),
    "name-capital": (form("00 05 'Bytes' 01 00 05 00"), CORRUPT, 9),
    "name-space": (form("00 05 6279742073 01 00 05 00"), CORRUPT, 9),
    "name-not-ascii": (form("00 05 62797465c3 01 00 05 00"), CORRUPT, 9),
    "name-33-letters": (form(f"00 21 {LONG} 01 00 05 00"), CORRUPT, 9),
    "model-4-bytes": (form("00 05 'bytes' 01 04 01020304 05 00"), CORRUPT, 15),
    "dim-long-form": (form("00 05 'bytes' 01 00 85 00 00"), CORRUPT, 16),
    "dim-above-2-48": (form("00 05 'bytes' 01 00 81 80 80 80 80 80 40 00"), CORRUPT, 16),
    "dim-endless": (form("00 05 'bytes' 01 00 80 80 80 80 80 80 80 80 80 80 01 00"), CORRUPT, 16),
    "dims-too-few": (form("01 0a 'test/image' 01 00 01 01 03 08 00"), CORRUPT, 26),
    "dims-too-many": (form("01 0a 'test/image' 01 00 01 01 03 08 01 00 00"), CORRUPT, 27),
    "width-0": (form("01 0a 'test/image' 01 00 00 01 03 08 01 00"), CORRUPT, 21),
    "height-0": (form("01 0a 'test/image' 01 00 01 00 03 08 01 00"), CORRUPT, 22),
    "width-above-2-20": (form("01 0a 'test/image' 01 00 81 80 40 01 03 08 01 00"), CORRUPT, 21),
    "channels-0": (form("01 0a 'test/image' 01 00 01 01 00 08 01 00"), CORRUPT, 23),
    "channels-5": (form("01 0a 'test/image' 01 00 01 01 05 08 01 00"), CORRUPT, 23),
    "bit-depth-0": (form("01 0a 'test/image' 01 00 01 01 03 00 01 00"), CORRUPT, 24),
    "bit-depth-17": (form("01 0a 'test/image' 01 00 01 01 03 11 01 00"), CORRUPT, 24),
    "color-3": (form("01 0a 'test/image' 01 00 01 01 03 08 03 00"), CORRUPT, 25),
    "sample-rate-0": (form("02 0a 'test/audio' 01 00 00 01 00 00"), CORRUPT, 21),
    "frame-rate-of-0": (form("03 0a 'test/video' 01 00 01 01 00 01 00 00 00"), CORRUPT, 25),
    "pixels-above-limit": (
        form("01 0a 'test/image' 01 00 80 80 40 80 80 40 03 08 01 00").replace("7f 01 00", FIRST_OF_MANY),
        "LimitExceeded",
        None,
    ),
    "samples-above-limit": (
        form("02 0a 'test/audio' 01 00 80 7d 01 80 80 80 80 80 01 00").replace("7f 01 00", FIRST_OF_MANY),
        "LimitExceeded",
        None,
    ),
    "size-above-limit": (
        form("00 05 'bytes' 01 00 80 80 80 80 80 01 00").replace("7f 01 00", FIRST_OF_MANY),
        "LimitExceeded",
        None,
    ),
    "params-beyond-header": (form("00 05 'bytes' 01 00 05 05 aa"), CORRUPT, 19),
    "preamble-crc": (swap(PLAIN, "00                       # no params\ncrc", "00 bad"), CORRUPT, 0),
    "data-crc": (HELLO + swap(HELLO_DATA, "crc", "bad") + END_1, CORRUPT, 22),
    "metadata-crc": (HELLO + "82 03 'icc' bad" + HELLO_DATA + END_2, CORRUPT, 22),
    "unknown-ancillary-crc": (HELLO + "a1 02 01 02 bad" + HELLO_DATA + END_2, CORRUPT, 22),
    "unknown-critical-crc": (HELLO + "21 02 01 02 bad" + HELLO_DATA + END_2, CORRUPT, 22),
    "end-crc": (HELLO + HELLO_DATA + swap(END_1, "crc", "bad"), CORRUPT, 37),
    "index-crc": (INDEXED + HELLO_DATA + swap(INDEX, "crc", "bad") + "\n" + INDEXED_END, CORRUPT, 37),
    "unknown-critical": (HELLO + "21 02 01 02 crc" + HELLO_DATA + END_2, UNSUPPORTED, 22),
    "type-0": (HELLO + "00 00 crc" + HELLO_DATA + END_2, UNSUPPORTED, 22),
    "chunk-length-long-form": (HELLO + "01 89 00 00 00 05 00 'hello' crc" + END_1, CORRUPT, 23),
    "chunk-length-above-2-30": (HELLO + "01 81 80 80 80 04 00 00 05 00 'hello' crc" + END_1, CORRUPT, 23),
    "entry-longer-than-chunk": (HELLO + "01 02 00 00 crc" + END_1, CORRUPT, 22),
    "entry-long-form": (HELLO + "01 0a 00 80 00 05 00 'hello' crc" + END_1, CORRUPT, 25),
    "entry-of-no-track": (HELLO + "01 09 10 00 05 00 'hello' crc" + END_1, CORRUPT, 22),
    "entry-beyond-size": (HELLO + "01 09 00 00 06 00 'hello' crc" + END_1, CORRUPT, 22),
    "part-before-data": (HELLO + "02 09 00 00 05 00 'hello' crc" + END_1, CORRUPT, 22),
    "part-behind-a-gap": (HELLO + "01 06 00 00 02 00 'he' crc 02 05 01 03 02 'lo' crc" + END_2, CORRUPT, 34),
    "layers-decrease": (swap(LAYERS, "02 04 02 10 10 04 crc", "02 04 01 10 10 04 crc"), CORRUPT, 63),
    "data-overlaps": (HELLO + "01 06 00 00 02 00 'he' crc 01 08 00 01 04 00 'ello' crc" + END_2, CORRUPT, 34),
    "data-leaves-a-gap": (
        HELLO + "01 06 00 00 02 00 'he' crc 01 06 00 03 02 00 'lo' crc" + END_2,
        CORRUPT,
        34,
    ),
    "data-starts-late": (HELLO + "01 08 00 01 04 00 'ello' crc" + END_1, CORRUPT, 22),
    "data-ends-early": (HELLO + "01 08 00 00 04 00 'hell' crc" + END_1, CORRUPT, 36),
    "no-data": (HELLO + "7f 01 00 crc", CORRUPT, 22),
    "icc-behind-data": (HELLO + HELLO_DATA + "82 03 'icc' crc" + END_2, CORRUPT, 37),
    "exif-behind-data": (HELLO + HELLO_DATA + "83 03 'abc' crc" + END_2, CORRUPT, 37),
    "xmp-behind-data": (HELLO + HELLO_DATA + "84 03 'abc' crc" + END_2, CORRUPT, 37),
    "icc-twice": (HELLO + "82 03 'icc' crc 82 03 'icc' crc" + HELLO_DATA + END_3, CORRUPT, 31),
    "tags-twice": (HELLO + "85 02 '{}' crc 85 02 '{}' crc" + HELLO_DATA + END_3, CORRUPT, 30),
    "tags-not-json": (HELLO + "85 02 '{]' crc" + HELLO_DATA + END_2, CORRUPT, 24),
    "tags-not-utf-8": (HELLO + "85 01 ff crc" + HELLO_DATA + END_2, CORRUPT, 24),
    "tags-a-number": (HELLO + """85 07 '{"a":1}' crc""" + HELLO_DATA + END_2, CORRUPT, 24),
    "tags-a-list": (HELLO + "85 02 '[]' crc" + HELLO_DATA + END_2, CORRUPT, 24),
    "tags-name-twice": (HELLO + """85 11 '{"a":"b","a":"c"}' crc""" + HELLO_DATA + END_2, CORRUPT, 24),
    "tags-half-a-surrogate": (HELLO + """85 0e '{"a":"\\ud800"}' crc""" + HELLO_DATA + END_2, CORRUPT, 24),
    "note-not-utf-8": (HELLO + "87 01 ff crc" + HELLO_DATA + END_2, CORRUPT, 24),
    "track-behind-data": (HELLO + HELLO_DATA + "04 0b 00 05 'bytes' 01 00 00 00 crc" + END_2, CORRUPT, 37),
    "track-header-wrong": (HELLO + "04 0b 00 05 'Bytes' 01 00 00 00 crc" + HELLO_DATA + END_2, CORRUPT, 26),
    "track-without-data": (HELLO + "04 0b 00 05 'bytes' 01 00 03 00 crc" + HELLO_DATA + END_2, CORRUPT, 54),
    "check-of-no-kind": (HELLO + HELLO_DATA + "c6 05 03 4c bb 71 9a crc" + END_2, CORRUPT, 39),
    "check-too-short": (HELLO + HELLO_DATA + "c6 04 01 4c bb 71 crc" + END_2, CORRUPT, 39),
    "check-twice": (
        HELLO + HELLO_DATA + "c6 05 01 4c bb 71 9a crc c6 05 01 4c bb 71 9a crc" + END_3,
        CORRUPT,
        48,
    ),
    "data-behind-check": (HELLO + "c6 05 01 4c bb 71 9a crc" + HELLO_DATA + END_2, CORRUPT, 33),
    "check-differs": (HELLO + HELLO_DATA + "c6 05 01 4d bb 71 9a crc" + END_2, CORRUPT, None),
    "data-behind-end": (PLAIN + "\n" + HELLO_DATA, CORRUPT, 44),
    "byte-behind-end": (PLAIN + "\n00", CORRUPT, 44),
    "end-count-wrong": (HELLO + HELLO_DATA + END_2, CORRUPT, 39),
    "end-empty": (HELLO + HELLO_DATA + "7f 00 crc", CORRUPT, 39),
    "end-long-form": (HELLO + HELLO_DATA + "7f 02 81 00 crc", CORRUPT, 39),
    "end-trailing-byte": (HELLO + HELLO_DATA + "7f 02 01 00 crc", CORRUPT, 39),
    "end-of-indexed-in-plain": (HELLO + HELLO_DATA + "7f 08 01 00 00 00 00 00 00 00 crc", CORRUPT, 39),
    "end-of-plain-in-indexed": (INDEXED + HELLO_DATA + INDEX + "\n" + END_2, CORRUPT, 50),
    "index-without-flag": (HELLO + HELLO_DATA + INDEX + "\n" + END_2, CORRUPT, 37),
    "index-missing": (INDEXED + HELLO_DATA + "7f 08 01 00 00 00 0f 00 00 00 crc", CORRUPT, 43),
    "index-not-last": (INDEXED + HELLO_DATA + INDEX + "\n85 02 '{}' crc\n" + INDEXED_END, CORRUPT, 48),
    "index-distance-wrong": (swap(FULL, "0b 00 00 00 crc", "0c 00 00 00 crc"), CORRUPT, 54),
    "index-distance-out-of-file": (swap(FULL, "0b 00 00 00 crc", "ff ff ff 7f crc"), CORRUPT, 54),
    "index-offset-wrong": (swap(FULL, "c1 05 01 00 16 00 05", "c1 05 01 00 17 00 05"), CORRUPT, 39),
    "index-offset-out-of-file": (
        swap(FULL, "c1 05 01 00 16 00 05", "c1 06 01 00 ff 7f 00 05").replace("0b 00 00 00", "0c 00 00 00"),
        CORRUPT,
        39,
    ),
    "index-count-wrong": (swap(FULL, "c1 05 01 00 16 00 05", "c1 05 01 00 16 00 04"), CORRUPT, 39),
    "index-type-wrong": (swap(FULL, "c1 05 01 00 16 00 05", "c1 05 02 00 16 00 05"), CORRUPT, 39),
    "index-empty": (
        swap(FULL, "c1 05 01 00 16 00 05", "c1 00").replace("0b 00 00 00", "06 00 00 00"),
        CORRUPT,
        39,
    ),
    "index-overlaps": (
        swap(FULL, "c1 05 01 00 16 00 05", "c1 0a 01 00 16 00 05 01 00 00 00 05").replace(
            "0b 00 00 00", "10 00 00 00"
        ),
        CORRUPT,
        39,
    ),
    "index-cut": (
        swap(FULL, "c1 05 01 00 16 00 05", "c1 04 01 00 16 00").replace("0b 00 00 00", "0a 00 00 00"),
        CORRUPT,
        39,
    ),
    "model-missing": (
        form("01 04 'wave' 01 08 01 02 03 04 05 06 07 08 01 01 03 08 01 01 00").replace(
            "7f 01 00", "01 03 00 00 01 crc 7f 01 01"
        ),
        "ModelNotFound",
        None,
    ),
    "codec-unknown": (form("00 07 'no/such' 01 00 00 00"), UNSUPPORTED, None),
}
for _field, _size in {
    "magic": 2, "version": 4, "flags": 5, "header-length": 6, "medium": 7, "name-length": 8, "name": 12,
    "codec-version": 14, "model-length": 15, "dims": 16, "params-length": 17, "preamble-crc": 20,
    "chunk-type": 22, "chunk-length": 23, "entry": 24, "entry-first": 25, "entry-count": 26, "payload": 30,
    "chunk-crc": 35, "index": 37, "index-body": 41, "end": 48, "end-length": 49, "end-body": 53,
    "end-crc": 61,
}.items():  # fmt: skip
    ERRORS[f"truncated-{_field}"] = (" ".join(f"{b:02x}" for b in spell(FULL)[:_size]), TRUNCATED, _size)


def files() -> dict[str, bytes]:
    """Every golden file by its path below this folder."""
    out: dict[str, bytes] = {}
    for name, (text, expected) in VALID.items():
        out[f"v1/{name}.nrws"] = spell(text)
        out[f"v1/{name}.json"] = _json(expected)
    for name, (text, exception, offset) in ERRORS.items():
        out[f"errors/{name}.nrws"] = spell(text)
        out[f"errors/{name}.json"] = _json({"exception": exception, "offset": offset})
    return out


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def main() -> None:
    for path, data in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_bytes(data)
    print(f"{len(files())} files", file=sys.stderr)


if __name__ == "__main__":
    main()
