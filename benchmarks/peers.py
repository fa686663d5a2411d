"""Picture codecs that the benchmarks compare with, each at the settings its users would choose, one thread.

A peer whose library is not installed names the reason instead of a version.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

Pixels = npt.NDArray[np.uint8]
Setting = float


@dataclass(frozen=True)
class Peer:
    """One way to call a codec: `encode(pixels, setting)` to bytes, `decode(bytes, pixels)` like `pixels`.

    `settings` go from small to large files; a lossless peer has the one setting 0.
    """

    name: str
    title: str
    settings: tuple[Setting, ...]
    encode: Callable[[Pixels, Setting], bytes]
    decode: Callable[[bytes, Pixels], Pixels]
    package: str
    default: bool = True

    @property
    def lossless(self) -> bool:
        return self.settings == (0,)

    @property
    def version(self) -> str:
        """Versions of the library and the codec in it; empty if it is not installed."""
        if self.package == "imagecodecs":
            if importlib.util.find_spec("imagecodecs") is None:
                return ""
            module = importlib.import_module("imagecodecs")
            return f"imagecodecs {module.__version__}, {module.jpegxl_version()}"
        version = features.version(self.package)
        return f"Pillow {Image.__version__}, {self.package} {version}" if version else ""

    @property
    def missing(self) -> str:
        """Why the peer cannot run here, or empty."""
        if self.version:
            return ""
        if self.package == "imagecodecs":
            return "imagecodecs is not installed (pip install 'narrows[bench]')"
        return f"this Pillow was built without {self.package}"


def _save(format_name: str, **fixed: Any) -> Callable[[Pixels, Setting], bytes]:
    """Encoder through `Image.save`; an option that is a function is called with (pixels, setting)."""

    def encode(pixels: Pixels, setting: Setting) -> bytes:
        options = {k: v(pixels, setting) if callable(v) else v for k, v in fixed.items()}
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format_name, **options)
        return file.getvalue()

    return encode


def _open(data: bytes, like: Pixels) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        mode = "L" if like.ndim == 2 else "RGB"
        return np.asarray(image if image.mode == mode else image.convert(mode))


def _open_avif(data: bytes, like: Pixels) -> Pixels:
    plugin = importlib.import_module("PIL.AvifImagePlugin")
    plugin.DEFAULT_MAX_THREADS = 1  # the only way to decode with one thread
    return _open(data, like)


def _jxl(**fixed: Any) -> Callable[[Pixels, Setting], bytes]:
    def encode(pixels: Pixels, setting: Setting) -> bytes:
        options = fixed if fixed.get("lossless") else {**fixed, "distance": setting}
        return bytes(importlib.import_module("imagecodecs").jpegxl_encode(pixels, numthreads=1, **options))

    return encode


def _open_jxl(data: bytes, like: Pixels) -> Pixels:
    decoded = importlib.import_module("imagecodecs").jpegxl_decode(data, numthreads=1)
    return np.asarray(decoded).reshape(like.shape)


def _avif_lossless(pixels: Pixels, setting: Setting) -> bytes:
    del setting
    codecs = importlib.import_module("imagecodecs")
    options = {"level": 100, "speed": 6, "pixelformat": "444", "matrix": 0, "numthreads": 1}
    return bytes(codecs.avif_encode(pixels, **options))


def _open_avif_lossless(data: bytes, like: Pixels) -> Pixels:
    decoded = importlib.import_module("imagecodecs").avif_decode(data, numthreads=1)
    return np.asarray(decoded).reshape(like.shape)


def _quality(pixels: Pixels, setting: Setting) -> int:
    del pixels
    return int(setting)


def _mct(pixels: Pixels, setting: Setting) -> int:
    del setting
    return int(pixels.ndim == 3)  # off by default in Pillow, which costs JPEG 2000 half its worth


def _layers(pixels: Pixels, setting: Setting) -> list[float]:
    del pixels
    return [setting]


_JPEG_Q = (6, 12, 22, 38, 58, 76, 88, 94)
_AVIF = {"speed": 6, "subsampling": "4:4:4", "max_threads": 1, "codec": "aom", "quality": _quality}
_J2K = {"quality_mode": "rates", "quality_layers": _layers, "mct": _mct}

PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "jpeg420", "JPEG 4:2:0", _JPEG_Q,
            _save("JPEG", quality=_quality, optimize=True, subsampling="4:2:0"), _open, "libjpeg_turbo",
        ),
        Peer(
            "jpeg444", "JPEG 4:4:4", _JPEG_Q,
            _save("JPEG", quality=_quality, optimize=True, subsampling="4:4:4"), _open, "libjpeg_turbo",
        ),
        Peer(
            "webp_m6", "WebP m6", (1, 8, 20, 38, 58, 74, 85, 93),
            _save("WEBP", quality=_quality, method=6), _open, "webp",
        ),
        Peer(
            "jxl_e7", "JPEG XL e7", (9, 6, 4, 2.6, 1.7, 1.1, 0.7, 0.4),
            _jxl(effort=7), _open_jxl, "imagecodecs",
        ),
        Peer(
            "j2k", "JPEG 2000 (9/7, MCT)", (170, 100, 60, 36, 22, 14, 9, 6.2),
            _save("JPEG2000", irreversible=True, **_J2K), _open, "jpg_2000",
        ),
        Peer(
            "avif444_s6", "AVIF 4:4:4 speed 6", (20, 32, 44, 55, 65, 75, 84, 91),
            _save("AVIF", **_AVIF), _open_avif, "avif",
        ),
        Peer(
            "avif444_s4", "AVIF 4:4:4 speed 4", (32, 44, 65, 75, 91),
            _save("AVIF", **{**_AVIF, "speed": 4}), _open_avif, "avif", default=False,
        ),
        Peer("png_opt", "PNG (optimize)", (0,), _save("PNG", optimize=True), _open, "zlib"),
        Peer(
            "webp_ll_m4", "WebP lossless, method 4, quality 80", (0,),
            _save("WEBP", lossless=True, quality=80, method=4), _open, "webp",
        ),
        Peer(
            "webp_ll_m6", "WebP lossless, method 6, quality 100", (0,),
            _save("WEBP", lossless=True, quality=100, method=6), _open, "webp",
        ),
        Peer(
            "j2k_ll", "JPEG 2000 reversible", (0,),
            _save("JPEG2000", irreversible=False, **_J2K), _open, "jpg_2000",
        ),
        Peer(
            "jxl_ll_e7", "JPEG XL lossless e7", (0,),
            _jxl(effort=7, lossless=True), _open_jxl, "imagecodecs",
        ),
        Peer(
            "jxl_ll_e9", "JPEG XL lossless e9", (0,), _jxl(effort=9, lossless=True), _open_jxl,
            "imagecodecs", default=False,
        ),
        Peer(
            "avif_ll_s6", "AVIF lossless speed 6", (0,), _avif_lossless, _open_avif_lossless,
            "imagecodecs", default=False,
        ),
    )
}  # fmt: skip
