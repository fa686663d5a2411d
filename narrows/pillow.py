"""Pillow plugin: after `import narrows.pillow`, `Image.open` and `Image.save` know `.nrws`.

>>> import io
>>> from PIL import Image
>>> import narrows.pillow
>>> file = io.BytesIO()
>>> Image.new("RGB", (64, 48), "teal").save(file, "NRWS", lossless=True)
>>> Image.open(file).getpixel((0, 0))
(0, 128, 128)
"""

from __future__ import annotations

from typing import IO, Any, cast

from PIL import Image, ImageFile

import narrows
from narrows.contracts import Media
from narrows.errors import NarrowsError
from narrows.files import STREAM_MAGIC
from narrows.files import image as pictures

__all__ = ["FORMAT", "NarrowsImageFile"]

FORMAT = "NRWS"
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_OPTIONS = ("quality", "bpp", "target_psnr", "lossless", "effort", "tune", "codec", "threads", "check")


class NarrowsImageFile(ImageFile.ImageFile):
    """A picture in a `.nrws` stream, decoded when it is loaded; `draft` makes that cheaper.

    `info` has `icc_profile`, `exif` and `xmp`. Damage is an OSError, as Pillow's users expect, unless
    `ImageFile.LOAD_TRUNCATED_IMAGES`: then what is whole is shown. 16-bit color does not fit in Pillow's
    modes and is refused.
    """

    format = FORMAT
    format_description = "Narrows"

    def _open(self) -> None:
        self._start = self._file.tell()
        try:
            with narrows.open(self._file, partial=ImageFile.LOAD_TRUNCATED_IMAGES) as stream:
                header = stream.header
                if header.media != Media.IMAGE:
                    raise OSError(f"holds {header.media.name.lower()} and no picture: use narrows.decode")
                list(stream.chunks)  # metadata is known once they have been passed
                metadata = stream.metadata
        except NarrowsError as error:
            raise OSError(str(error)) from error
        if header.bit_depth > 8 and header.channels > 1:
            raise OSError(f"{header.bit_depth}-bit color does not fit in Pillow's modes: use narrows.decode")
        self._mode = "I;16" if header.bit_depth > 8 else _MODES[header.channels]
        self._size = self._full_size = (header.width, header.height)
        self._shift = 0
        self.tile = [ImageFile._Tile("narrows", (0, 0, *self._size), self._start, None)]
        for key, name in (("icc", "icc_profile"), ("xmp", "xmp")):
            if key in metadata:
                self.info[name] = metadata[key]
        if "exif" in metadata:
            self.info["exif"] = b"Exif\0\0" + metadata["exif"]

    @property
    def _file(self) -> Any:
        return cast(IO[bytes], self.fp)

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode at the smallest scale 1/2**k that is not below `size`. `mode` is not changed."""
        if size is None or not self.tile:
            return None
        width, height = self._full_size
        self._shift = 0
        while -(-width >> self._shift + 1) >= size[0] and -(-height >> self._shift + 1) >= size[1]:
            if min(width, height) >> self._shift + 1 == 0:
                break
            self._shift += 1
        self._size = (-(-width >> self._shift), -(-height >> self._shift))
        return self.mode, (0, 0, width / 2**self._shift, height / 2**self._shift)

    def load(self) -> Any:
        """Decode, if that has not been done."""
        if self.tile:
            self._file.seek(self._start)
            try:
                signal = narrows.decode(
                    self._file, scale=1 / 2**self._shift, partial=ImageFile.LOAD_TRUNCATED_IMAGES
                )
            except NarrowsError as error:
                raise OSError(str(error)) from error
            pixels = pictures.full_scale(signal)
            self.im = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).im
            self.tile = []
            if self._exclusive_fp and self._close_exclusive_fp_after_loading:
                self._file.close()
                self.fp = None
        return super().load()


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(STREAM_MAGIC)


def _save(im: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Encode `im` with the codec's options; those it does not know are ignored, as Pillow's formats do."""
    if im.mode not in pictures.MODES:
        raise OSError(f"cannot write mode {im.mode} as {FORMAT}")
    given = im.encoderinfo
    blocks = {
        "icc": given.get("icc_profile", im.info.get("icc_profile")),
        "exif": given.get("exif"),
        "xmp": given.get("xmp"),
    }
    if isinstance(blocks["exif"], Image.Exif):
        blocks["exif"] = blocks["exif"].tobytes()
    kept = {key: bytes(value) for key, value in blocks.items() if value}
    if "exif" in kept:
        kept["exif"] = kept["exif"].removeprefix(b"Exif\0\0")
    pixels, bit_depth = pictures.pixels_of(im)
    signal = pictures.upright(pixels, bit_depth, pictures.exif_orientation(kept.get("exif", b"")), kept)
    options = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
    file.write(narrows.encode(signal, **options))


Image.register_open(FORMAT, NarrowsImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".nrws")
Image.register_mime(FORMAT, "application/x-narrows")
