"""Pictures through Pillow, with what Pillow would lose or change handled or refused by name.

Plugins are called one by one, chosen by content: no global limit of Pillow's is touched, no plugin runs that
is not listed here, and any number of threads may read at once.
"""

from __future__ import annotations

import importlib
import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from narrows.errors import SignalError
from narrows.files import png16
from narrows.limits import Limits
from narrows.signals import Image

if TYPE_CHECKING:
    from PIL.Image import Exif
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

_TEXT_PIXMAP = re.compile(rb"P[1-6][ \t\r\n]+(#|[0-9])")
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
# name, does the file begin like this?, module and class in PIL
_FORMATS: tuple[tuple[str, Callable[[bytes], bool], str, str], ...] = (
    ("PNG", lambda h: h[:8] == png16.SIGNATURE, "PngImagePlugin", "PngImageFile"),
    # JpegImageFile, not its factory: a phone's second picture or gain map would make it an "animation".
    ("JPEG", lambda h: h[:3] == b"\xff\xd8\xff", "JpegImagePlugin", "JpegImageFile"),
    ("WebP", lambda h: h[:4] == b"RIFF" and h[8:12] == b"WEBP", "WebPImagePlugin", "WebPImageFile"),
    ("AVIF", lambda h: h[4:12] in (b"ftypavif", b"ftypavis"), "AvifImagePlugin", "AvifImageFile"),
    ("TIFF", lambda h: h[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TiffImagePlugin", "TiffImageFile"),
    ("GIF", lambda h: h[:6] in (b"GIF87a", b"GIF89a"), "GifImagePlugin", "GifImageFile"),
    ("BMP", lambda h: h[:2] == b"BM" and h[14:15] in map(_byte, _BITMAP_HEADERS) and h[15:18] == b"\0\0\0",
     "BmpImagePlugin", "BmpImageFile"),
    ("PPM", lambda h: bool(_TEXT_PIXMAP.match(h)), "PpmImagePlugin", "PpmImageFile"),
    ("JPEG 2000", lambda h: h[:4] == b"\xff\x4f\xff\x51" or h[4:12] == b"jP  \r\n\x87\n",
     "Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    ("QOI", lambda h: h[:4] == b"qoif", "QoiImagePlugin", "QoiImageFile"),
)  # fmt: skip
MODES = ("1", "P", "PA", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L")  # that lose nothing
_STRIP_PIXELS = 1 << 22
_ORIENTATION = 0x0112
# What Pillow's parsers let through where a file is damaged, beside OSError.
_DAMAGE = (SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError)


def _byte(value: int) -> bytes:
    return bytes([value])


def is_image(head: bytes) -> bool:
    """Tell whether a file that begins with `head` (32 bytes or more) is of a format that `read` knows."""
    return any(matches(head) for _, matches, _, _ in _FORMATS)


def read(file: BinaryIO, limits: Limits) -> Image:
    """Read a picture: pixels as stored, turned upright; ICC, EXIF and XMP blocks in `meta`.

    Bilevel becomes 8-bit grey, a palette RGB or RGBA, a transparent color an alpha channel; nothing else is
    converted. Raises SignalError for damage, animations and what would lose something (more than 8 bits
    per color channel outside PNG, CMYK, float), LimitExceeded before the picture is decoded.
    """
    head = file.read(64)
    file.seek(0)
    if png16.is_deep_color(head):
        pixels, blocks = png16.read(file, limits)
        exif = blocks.get("exif")
        orientation = exif_orientation(exif) if exif else 1
        return upright(pixels, 16, orientation, blocks)
    for name, matches, module, kind in _FORMATS:
        if matches(head):
            opener = getattr(importlib.import_module(f"PIL.{module}"), kind)
            return _read_with(name, opener, file, limits)
    raise SignalError("not a picture of a known format")


def _read_with(name: str, opener: type[ImageFile], file: BinaryIO, limits: Limits) -> Image:
    from PIL.Image import DecompressionBombError

    try:
        im = opener(file)
        limits.check("max_pixels", im.width * im.height)
        _refuse_what_would_lose(name, im, file)
        im.load()
        pixels, bit_depth = pixels_of(im)
        orientation = int(im.getexif().get(_ORIENTATION, 1))
        return upright(pixels, bit_depth, orientation, _blocks(name, im))
    except SignalError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise SignalError(f"{name}: {error}") from error
    except DecompressionBombError as error:  # a frame inside the picture; its own size was checked above
        raise SignalError(f"{name}: declares a frame larger than is read") from error
    except (*_DAMAGE, struct.error) as error:
        raise SignalError(f"{name}: {error or 'damaged'}") from error


def _refuse_what_would_lose(name: str, im: ImageFile, file: BinaryIO) -> None:
    """Raise SignalError for a picture that Pillow would decode to something else than the file holds."""
    frames = getattr(im, "n_frames", 1)
    if frames > 1:
        what = "pages" if name == "TIFF" else "frames; animations are not coded yet"
        raise SignalError(f"{name} with {frames} {what}")
    if im.mode not in MODES and not (im.mode == "I" and name in ("PPM", "PNG")):
        raise SignalError(f"{name} of mode {im.mode}; only grey, RGB and palette pictures are read")
    bits = _color_bits(name, im, file)
    if bits > 8 and not im.mode.startswith("I"):
        raise SignalError(
            f"{name} with {bits} bits a channel, which would be cut to 8; 16-bit color is read from PNG"
        )


def _color_bits(name: str, im: ImageFile, file: BinaryIO) -> int:
    """Return how many bits a channel of the file has, where Pillow does not tell by its mode."""
    if name == "TIFF":
        return int(max(im.tag_v2.get(258, (1,))))  # type: ignore[attr-defined]
    if name == "PPM":
        # (mode, greatest value) unless that is 255 or 65,535 in grey
        arguments = im.tile[0].args
        return 16 if isinstance(arguments, tuple) and arguments[-1] > 255 else 8
    if name == "AVIF":
        return _av1_bits(_start(file))
    if name == "JPEG 2000":
        at = (start := _start(file)).find(b"\xff\x4f\xff\x51")
        return (start[at + 42] & 0x7F) + 1 if 0 <= at < len(start) - 42 else 8
    return 16 if any(";16" in str(tile.args) for tile in im.tile) else 8


def _start(file: BinaryIO) -> bytes:
    position = file.tell()
    file.seek(0)
    start = file.read(1 << 16)
    file.seek(position)
    return start


def _av1_bits(start: bytes) -> int:
    at = start.find(b"av1C\x81")
    if at < 0 or at + 7 > len(start) or not start[at + 6] & 0x40:
        return 8
    return 12 if start[at + 6] & 0x20 else 10


def pixels_of(im: PillowImage) -> tuple[np.ndarray, int]:
    """Return the pixels [height, width, channels] of a loaded picture and its bit depth."""
    if im.mode.startswith("I"):
        grey = np.asarray(im)
        if im.mode == "I" and (grey.min() < 0 or grey.max() > 65_535):
            raise SignalError("32-bit grey picture with values outside 0 to 65,535")
        pixels, bit_depth, peak = grey.astype(np.uint16)[:, :, None], 16, 65_535
    else:
        mode = im.mode
        if mode in ("P", "PA"):
            see_through = mode == "PA" or "transparency" in im.info or im.palette.mode == "RGBA"  # type: ignore[union-attr]
            mode = "RGBA" if see_through else "RGB"
        elif mode == "1":
            mode = "L"
        pixels, bit_depth, peak = _strips(im, mode), 8, 255
    key = im.info.get("transparency")
    if key is not None and pixels.shape[2] in (1, 3) and not isinstance(key, bytes):
        key = np.asarray(key, np.int64)
        if im.mode == "1":
            key = np.where(key > 0, 255, 0)
        opaque = (pixels != key).any(axis=2, keepdims=True)
        pixels = np.concatenate([pixels, (opaque * peak).astype(pixels.dtype)], axis=2)
    return pixels, bit_depth


def _strips(im: PillowImage, mode: str) -> np.ndarray:
    """Copy a picture strip by strip: Pillow's own way to NumPy holds it three times over."""
    channels = len(mode)
    pixels = np.empty((im.height, im.width, channels), np.uint8)
    step = max(1, _STRIP_PIXELS // im.width)
    for y in range(0, im.height, step):
        strip = im if step >= im.height else im.crop((0, y, im.width, min(y + step, im.height)))
        if strip.mode != mode:
            strip = strip.convert(mode)
        pixels[y : y + step] = np.asarray(strip).reshape(-1, im.width, channels)
    return pixels


def upright(pixels: np.ndarray, bit_depth: int, orientation: int, blocks: dict[str, bytes]) -> Image:
    """Apply an EXIF orientation (1 to 8) to the pixels and make the metadata say 1."""
    if orientation in range(2, 9):
        if orientation >= 5:
            pixels = pixels.swapaxes(0, 1)
        if orientation in (3, 4, 7, 8):
            pixels = pixels[::-1]
        if orientation in (2, 3, 6, 7):
            pixels = pixels[:, ::-1]
        pixels = np.ascontiguousarray(pixels)
    if "exif" in blocks:
        blocks["exif"] = _exif_upright(blocks["exif"])
    if "xmp" in blocks:
        blocks["xmp"] = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", blocks["xmp"])
    return Image(pixels, bit_depth=bit_depth, color="icc" if "icc" in blocks else "srgb", meta=dict(blocks))


def _blocks(name: str, im: ImageFile) -> dict[str, bytes]:
    """Return the ICC profile, EXIF block (from its TIFF header on) and XMP packet that are there."""
    exif = im.info.get("exif")
    if exif is None:
        source = im.getexif()
        exif = (_camera_tags(source) if name == "TIFF" else source).tobytes() if source else b""
    xmp = im.info.get("xmp") or im.info.get("XML:com.adobe.xmp") or b""
    if name == "TIFF":
        xmp = im.tag_v2.get(700, b"")  # type: ignore[attr-defined]
    found = {
        "icc": im.info.get("icc_profile") or b"",
        "exif": exif.removeprefix(b"Exif\0\0"),
        "xmp": xmp.encode() if isinstance(xmp, str) else bytes(xmp),
    }
    return {key: value for key, value in found.items() if value}


def _camera_tags(source: Exif) -> Exif:
    """Return what of a TIFF's directory is about the photograph and not about the layout of the file."""
    from PIL.Image import Exif

    kept = Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298):
        if tag in source:
            kept[tag] = source[tag]
    for directory in (0x8769, 0x8825):
        if tags := source.get_ifd(directory):
            kept[directory] = dict(tags)
    return kept


def exif_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, that an EXIF block tells, 1 if none."""
    at, order = _find_orientation(exif)
    return struct.unpack_from(f"{order}H", exif, at)[0] if at else 1


def _exif_upright(exif: bytes) -> bytes:
    """Return the EXIF block with its orientation set to 1 and every other byte as it was."""
    at, order = _find_orientation(exif)
    return exif[:at] + struct.pack(f"{order}H", 1) + exif[at + 2 :] if at else exif


def _find_orientation(exif: bytes) -> tuple[int, str]:
    """Return where the value of the orientation tag stands (0: nowhere) and the byte order."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4], "")
    if not order or len(exif) < 14:
        return 0, "<"
    first = struct.unpack_from(f"{order}I", exif, 4)[0]
    if first + 2 > len(exif):
        return 0, order
    count = struct.unpack_from(f"{order}H", exif, first)[0]
    for at in range(first + 2, min(first + 2 + 12 * count, len(exif) - 11), 12):
        if struct.unpack_from(f"{order}HHI", exif, at) == (_ORIENTATION, 3, 1):
            return at + 8, order
    return 0, order


# extension -> Pillow's name of the format, greatest width and height
_WRITERS = {
    ".png": ("PNG", 2**31 - 1),
    ".jpg": ("JPEG", 65_500),
    ".jpeg": ("JPEG", 65_500),
    ".webp": ("WEBP", 16_383),
    ".avif": ("AVIF", 65_536),
    ".tif": ("TIFF", 2**31 - 1),
    ".tiff": ("TIFF", 2**31 - 1),
    ".bmp": ("BMP", 2**31 - 1),
    ".ppm": ("PPM", 2**31 - 1),
    ".pgm": ("PPM", 2**31 - 1),
}
EXTENSIONS = tuple(_WRITERS)
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4", "optimize": True},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}


def write(image: Image, file: BinaryIO, extension: str) -> None:
    """Write a picture in the format of `extension`: exactly, but .jpg and .avif at quality 95, 4:4:4.

    Samples of a depth other than 8 and 16 bits are scaled to the next of the two; PNG notes the true depth.
    Raises SignalError where the format cannot hold the picture.
    """
    if extension not in _WRITERS:
        raise SignalError(f"no picture format has the extension {extension!r}; known: {' '.join(EXTENSIONS)}")
    kind, largest = _WRITERS[extension]
    height, width, channels = image.pixels.shape
    deep = image.bit_depth > 8
    if max(height, width) > largest:
        raise SignalError(f"{extension} holds at most {largest:,} pixels a side, not {width:,} x {height:,}")
    if channels in (2, 4) and kind in ("JPEG", "BMP", "PPM"):
        raise SignalError(f"{extension} cannot hold alpha; .png can")
    if deep and (channels > 1 or kind not in ("PNG", "TIFF", "PPM")) and kind != "PNG":
        raise SignalError(f"{extension} cannot hold {image.bit_depth} bits a channel here; .png can")
    if extension == ".pgm" and channels != 1:
        raise SignalError(".pgm holds grey; .ppm and .png hold color")
    pixels = full_scale(image)
    blocks = {key: image.meta[key] for key in ("icc", "exif", "xmp") if image.meta.get(key)}
    if deep and kind == "PNG":
        png16.write(file, pixels, blocks, significant_bits=image.bit_depth)
    else:
        _write_with(kind, pixels, blocks, file)


def _write_with(kind: str, pixels: np.ndarray, blocks: dict[str, bytes], file: BinaryIO) -> None:
    from PIL import Image as pillow

    options = dict(_SAVE_OPTIONS.get(kind, {}))
    if kind not in ("BMP", "PPM"):
        options |= _metadata_options(kind, blocks)
    channels = pixels.shape[2]
    im = pillow.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    if channels <= 2 and kind in ("WEBP", "AVIF"):
        im = im.convert("RGB" if channels == 1 else "RGBA")
    try:
        im.save(file, format=kind, **options)
    except (ValueError, RuntimeError, struct.error) as error:
        raise SignalError(f"{kind} cannot hold this picture: {error}") from error


def _metadata_options(kind: str, blocks: dict[str, bytes]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "icc" in blocks:
        options["icc_profile"] = blocks["icc"]
    if "exif" in blocks:
        options["exif"] = b"Exif\0\0" + blocks["exif"]
    if "xmp" in blocks:
        if kind == "PNG":
            from PIL.PngImagePlugin import PngInfo

            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", blocks["xmp"].decode("utf-8", "replace"))
        elif kind == "TIFF":
            options["tiffinfo"] = {700: blocks["xmp"]}
        else:
            options["xmp"] = blocks["xmp"]
    return options


def full_scale(image: Image) -> np.ndarray:
    """Return the pixels with the peak at 255 or 65,535."""
    peak = 255 if image.bit_depth <= 8 else 65_535
    if image.peak == peak:
        return image.pixels
    wide = image.pixels.astype(np.uint32)
    return ((wide * peak + image.peak // 2) // image.peak).astype(image.pixels.dtype)
