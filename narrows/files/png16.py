"""PNG with 16-bit color: grey + alpha, RGB and RGBA, which Pillow cuts to 8 bits without a word.

Own reader and writer after the PNG Specification, Third Edition (W3C 2025). Row filters run in the core,
DEFLATE in zlib; rows stream, so that memory stays near the size of the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from narrows import _core
from narrows.errors import SignalError
from narrows.limits import Limits

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # color type -> channels; 3 is palette
_COLOR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
_WHOLE = ((0, 0, 1, 1),)  # x0, y0, dx, dy of the one pass of an image without interlace
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_STEP_BYTES = 1 << 20
_XMP_KEY = b"XML:com.adobe.xmp"


def is_deep_color(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is a PNG of 16 bits with more than one channel.

    16-bit grey with a transparent value counts as well once it is read, but Pillow reads it exactly.
    """
    return (
        head[:8] == SIGNATURE
        and head[12:16] == b"IHDR"
        and head[24:25] == b"\x10"
        and head[25:26] in b"\2\4\6"
    )


def read(file: BinaryIO, limits: Limits) -> tuple[np.ndarray, dict[str, bytes]]:
    """Return pixels uint16 [height, width, channels] and the metadata `icc`, `exif`, `xmp` that are there.

    Raises SignalError where the file is damaged, LimitExceeded before memory is taken for a picture that
    is too large.
    """
    chunks = _chunks(file, limits)
    kind, header = next(chunks)
    if kind != b"IHDR" or len(header) != 13:
        raise SignalError("PNG: does not begin with its header chunk")
    width, height, depth, color_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if depth != 16 or color_type not in _CHANNELS or compression or filtering or interlace > 1:
        raise SignalError(f"PNG: depth {depth}, color type {color_type}, interlace {interlace} in the header")
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise SignalError(f"PNG: {width} x {height} pixels")
    limits.check("max_pixels", width * height)
    channels = _CHANNELS[color_type]
    limits.check("max_output_bytes", width * height * channels * 2)

    pixels = np.empty((height, width, channels), np.uint16)
    rows = _Rows(pixels, _ADAM7 if interlace else _WHOLE)
    metadata: dict[str, bytes] = {}
    transparent: np.ndarray | None = None
    inflate = zlib.decompressobj()
    for kind, data in chunks:
        if kind == b"IDAT":
            try:
                while data:
                    rows.add(inflate.decompress(data, _STEP_BYTES))
                    data = inflate.unconsumed_tail
            except zlib.error as error:
                raise SignalError(f"PNG: image data is damaged ({error})") from None
        elif kind == b"tRNS" and color_type in (0, 2) and len(data) == 2 * channels:
            transparent = np.frombuffer(data, ">u2").astype(np.uint16)
        elif kind == b"iCCP":
            metadata["icc"] = _inflate(data.partition(b"\0")[2][1:], limits)
        elif kind == b"eXIf":
            metadata["exif"] = data
        elif kind == b"iTXt" and data.startswith(_XMP_KEY + b"\0"):
            metadata["xmp"] = _international_text(data, limits)
    rows.finish()
    if transparent is not None:
        alpha = np.where((pixels == transparent).all(axis=2), np.uint16(0), np.uint16(65_535))
        pixels = np.concatenate([pixels, alpha[:, :, None]], axis=2)
    return pixels, metadata


def write(file: BinaryIO, pixels: np.ndarray, metadata: dict[str, bytes], significant_bits: int = 16) -> None:
    """Write pixels uint16 [height, width, channels] and the metadata `icc`, `exif`, `xmp` as a PNG file."""
    height, width, channels = pixels.shape
    file.write(SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOR_TYPE[channels], 0, 0, 0))
    if "icc" in metadata:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata["icc"]))
    if significant_bits < 16:
        _write_chunk(file, b"sBIT", bytes([significant_bits] * channels))
    if "exif" in metadata:
        _write_chunk(file, b"eXIf", metadata["exif"])
    if "xmp" in metadata:
        _write_chunk(file, b"iTXt", _XMP_KEY + b"\0\0\0\0\0" + metadata["xmp"])
    deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
    row_bytes = width * channels * 2
    above = np.zeros(row_bytes, np.uint8)
    step = max(1, _STEP_BYTES // row_bytes)
    for y in range(0, height, step):
        block = np.ascontiguousarray(pixels[y : y + step]).astype(">u2").view(np.uint8).reshape(-1)
        rows = np.empty(block.size // row_bytes * (row_bytes + 1), np.uint8)
        _core.png_filter(block, above, 2 * channels, rows)
        if data := deflate.compress(rows.data):
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IDAT", deflate.flush())
    _write_chunk(file, b"IEND", b"")


class _Rows:
    """Filtered rows as they leave zlib, pass by pass, put where they belong in `pixels`."""

    def __init__(self, pixels: np.ndarray, passes: tuple[tuple[int, int, int, int], ...]) -> None:
        height, width, channels = pixels.shape
        self._pixels = pixels
        self._pixel_bytes = 2 * channels
        self._passes = [p for p in passes if p[0] < width and p[1] < height]
        self._pending = bytearray()
        self._start_pass()

    def _start_pass(self) -> None:
        if self._passes:
            x0, y0, dx, dy = self._passes[0]
            self._target = self._pixels[y0::dy, x0::dx]
            self._row_bytes = self._target.shape[1] * self._pixel_bytes
            self._above = np.zeros(self._row_bytes, np.uint8)
            self._y = 0

    def add(self, data: bytes) -> None:
        self._pending += data
        while self._passes:
            count = min(len(self._pending) // (self._row_bytes + 1), len(self._target) - self._y)
            if not count:
                return
            size = count * (self._row_bytes + 1)
            rows = np.array(memoryview(self._pending)[:size], np.uint8)
            del self._pending[:size]
            if rows[:: self._row_bytes + 1].max() > 4:
                raise SignalError("PNG: unknown row filter")
            _core.png_unfilter(rows, self._above, self._pixel_bytes)
            block = np.ascontiguousarray(rows.reshape(count, -1)[:, 1:]).view(">u2")
            self._target[self._y : self._y + count] = block.reshape(count, *self._target.shape[1:])
            self._y += count
            if self._y == len(self._target):
                self._passes.pop(0)
                self._start_pass()
        if self._pending:
            raise SignalError("PNG: more image data than the header declares")

    def finish(self) -> None:
        if self._passes:
            raise SignalError("PNG: image data ends early")


def _chunks(file: BinaryIO, limits: Limits) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and data of each chunk up to IEND; IDAT in pieces, so that its length costs no memory."""
    if file.read(8) != SIGNATURE:
        raise SignalError("PNG: wrong signature")
    while True:
        length, kind = struct.unpack(">I4s", _exactly(file, 8))
        if length >= 2**31:
            raise SignalError("PNG: chunk length above 2^31")
        if kind != b"IDAT" and length > limits.max_metadata_bytes:
            limits.check("max_metadata_bytes", length)
        crc = zlib.crc32(kind)
        for at in range(0, length, _STEP_BYTES) if kind == b"IDAT" else (0,):
            data = _exactly(file, min(_STEP_BYTES, length - at) if kind == b"IDAT" else length)
            crc = zlib.crc32(data, crc)
            if kind == b"IDAT":
                yield kind, data
        if crc != struct.unpack(">I", _exactly(file, 4))[0]:
            raise SignalError(f"PNG: checksum of chunk {kind.decode('latin-1')} differs")
        if kind == b"IEND":
            return
        if kind != b"IDAT":
            if kind[0] < 97 and kind not in (b"IHDR", b"PLTE"):
                raise SignalError(f"PNG: unknown critical chunk {kind.decode('latin-1')}")
            yield kind, data


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise SignalError("PNG: file ends early")
    return data


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I4s", len(data), kind))
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _inflate(data: bytes, limits: Limits) -> bytes:
    inflate = zlib.decompressobj()
    try:
        result = inflate.decompress(data, limits.max_metadata_bytes)
    except zlib.error as error:
        raise SignalError(f"PNG: metadata is damaged ({error})") from None
    if not inflate.eof and inflate.unconsumed_tail:
        limits.check("max_metadata_bytes", limits.max_metadata_bytes + 1)
    return result


def _international_text(data: bytes, limits: Limits) -> bytes:
    """Return the text of an iTXt chunk: keyword, 0, compressed?, method, language, 0, keyword, 0, text."""
    flags = data[len(_XMP_KEY) + 1 : len(_XMP_KEY) + 3]
    text = data[len(_XMP_KEY) + 3 :].partition(b"\0")[2].partition(b"\0")[2]
    return _inflate(text, limits) if flags[:1] == b"\1" else text
