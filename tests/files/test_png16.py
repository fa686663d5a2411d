"""16-bit color PNG: own reader and writer, held against Pillow where Pillow can tell."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as pillow

from narrows import _core, files
from narrows.errors import LimitExceeded, SignalError
from narrows.files import png16
from narrows.limits import Limits
from narrows.signals import Image

RNG = np.random.default_rng(2)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels, *extra, interlace=0, filters=(0, 1, 2, 3, 4)):
    """A PNG whose rows take the filters in turn, without the writer under test."""
    height, width, channels = pixels.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    passes = png16._ADAM7 if interlace else png16._WHOLE
    stream = b""
    for x0, y0, dx, dy in passes:
        part = pixels[y0::dy, x0::dx]
        if part.size:
            stream += filtered(
                part.astype(">u2").view(np.uint8).reshape(len(part), -1), 2 * channels, filters
            )
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, interlace)
    packed = zlib.compress(stream)
    pieces = [packed[i : i + 50] for i in range(0, len(packed), 50)]
    return b"".join(
        [
            png16.SIGNATURE,
            chunk(b"IHDR", header),
            *extra,
            *(chunk(b"IDAT", p) for p in pieces),
            chunk(b"IEND", b""),
        ]
    )


def filtered(rows, size, filters):
    out = bytearray()
    above = [0] * rows.shape[1]
    for y, row in enumerate(rows.tolist()):
        kind = filters[y % len(filters)]
        out.append(kind)
        for i, value in enumerate(row):
            a, b, c = (row[i - size] if i >= size else 0), above[i], (above[i - size] if i >= size else 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
        above = row
    return bytes(out)


def high_bytes(data):
    """What Pillow makes of the picture: the high bytes, and RGBA of grey + alpha."""
    pixels = np.asarray(pillow.open(io.BytesIO(data)))
    return pixels[:, :, 2:] if data[25] == 4 else pixels


def noise(height, width, channels):
    smooth = (
        np.add.outer(np.arange(height) * 300, np.arange(width) * 70)[:, :, None] + np.arange(channels) * 999
    )
    return (smooth + RNG.integers(0, 40, smooth.shape)).astype(np.uint16)


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (5, 5), (23, 37)])
def test_every_filter_and_interlace_is_read(channels, interlace, size):
    pixels = noise(*size, channels)
    data = png(pixels, interlace=interlace)
    assert np.array_equal(files.read(io.BytesIO(data)).pixels, pixels)
    assert np.array_equal(high_bytes(data), pixels >> 8)


@given(
    height=st.integers(1, 12), width=st.integers(1, 12), channels=st.integers(2, 4), seed=st.integers(0, 999)
)
def test_written_pictures_read_back(height, width, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 65536, (height, width, channels)).astype(np.uint16)
    meta = {"icc": b"profile" * 50, "exif": b"II*\0\x08\0\0\0\0\0\0\0\0\0", "xmp": "<x>ü</x>".encode()}
    file = io.BytesIO()
    files.write(Image(pixels, color="icc", meta=meta), file)
    assert np.array_equal(high_bytes(file.getvalue()), pixels >> 8)
    file.seek(0)
    image = files.read(file)
    assert np.array_equal(image.pixels, pixels)
    assert image.meta == meta


def test_large_pictures_stream_through_both_ways():
    pixels = noise(1500, 700, 4)
    file = io.BytesIO()
    files.write(Image(pixels), file)
    assert len(file.getvalue()) < pixels.nbytes * 2 // 3  # the filters work
    file.seek(0)
    assert np.array_equal(files.read(file).pixels, pixels)


def test_transparent_color_becomes_alpha():
    pixels = noise(4, 4, 3)
    key = struct.pack(">3H", *(int(v) for v in pixels[1, 2]))
    image = files.read(io.BytesIO(png(pixels, chunk(b"tRNS", key))))
    assert image.channels == 4
    assert image.pixels[1, 2, 3] == 0
    assert image.pixels[0, 0, 3] == 65535


def test_compressed_xmp_and_bombs_in_metadata():
    head = b"XML:com.adobe.xmp\0\1\0\0\0"
    pixels = noise(2, 2, 3)
    data = png(pixels, chunk(b"iTXt", head + zlib.compress(b"<x/>")))
    assert files.read(io.BytesIO(data)).meta["xmp"] == b"<x/>"
    bomb = png(pixels, chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(1 << 20))))
    with pytest.raises(LimitExceeded):
        files.read(io.BytesIO(bomb), limits=Limits(max_metadata_bytes=1 << 16))


def test_every_prefix_is_refused():
    data = png(noise(5, 5, 3))
    for size in range(26, len(data)):
        with pytest.raises(SignalError):
            png16.read(io.BytesIO(data[:size]), Limits())


def test_every_flipped_bit_is_refused():
    data = png(noise(3, 3, 3))
    for bit in range(8 * 8, 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((SignalError, LimitExceeded)):
            png16.read(io.BytesIO(damaged), Limits(max_pixels=10_000))


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (zlib.compress(b"\5" + bytes(12)), "unknown row filter"),
        (zlib.compress(bytes(14)), "more image data"),
        (zlib.compress(bytes(12)), "ends early"),
        (b"not deflate", "damaged"),
    ],
)
def test_image_data_that_lies_is_refused(stream, words):
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = png16.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
    with pytest.raises(SignalError, match=words):
        files.read(io.BytesIO(data))


def test_sizes_are_checked_before_memory_is_taken():
    header = struct.pack(">IIBBBBB", 2**30, 2**30, 16, 6, 0, 0, 0)
    with pytest.raises(LimitExceeded, match="max_pixels"):
        files.read(io.BytesIO(png16.SIGNATURE + chunk(b"IHDR", header) + bytes(64)))


def test_row_functions_check_their_sizes():
    row = np.zeros(7, np.uint8)
    for rows, above, size in [(row, row[:0], 2), (row, row[:5], 2), (row, row[:4], 2), (row, row[:6], 0)]:
        with pytest.raises(ValueError, match="PNG rows"):
            _core.png_unfilter(rows, above, size)
