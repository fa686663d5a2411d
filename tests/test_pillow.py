"""The Pillow plugin, through Pillow."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

import narrows
import narrows.pillow

RNG = np.random.default_rng(3)


def photo(width=97, height=61):
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 2, y * 3, x + y], axis=2) % 256
    return Image.fromarray(rgb.astype(np.uint8))


def saved(im, **options):
    file = io.BytesIO()
    im.save(file, "NRWS", **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16"])
def test_lossless_pictures_come_back(mode, tmp_path):
    noise = RNG.integers(0, 256, (13, 19, 4), np.uint8)
    if mode == "I;16":
        im = Image.fromarray(RNG.integers(0, 65536, (13, 19), np.uint16))
    else:
        im = Image.fromarray(noise).convert(mode)
    im.save(tmp_path / "a.nrws", lossless=True)
    with Image.open(tmp_path / "a.nrws") as back:
        assert back.format == "NRWS"
        assert back.size == im.size
        assert back.mode == ("L" if mode == "1" else mode)
        expected = im.convert("L") if mode == "1" else im
        assert np.array_equal(np.asarray(back), np.asarray(expected))


def test_palettes_are_saved_as_what_they_show():
    im = photo().quantize(16)
    im.info["transparency"] = 3
    back = Image.open(saved(im, lossless=True))
    assert back.mode == "RGBA"
    assert np.array_equal(np.asarray(back), np.asarray(im.convert("RGBA")))


def test_quality_reaches_the_codec():
    sizes = [len(saved(photo(), quality=quality).getvalue()) for quality in (10, 50, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]
    with pytest.raises(narrows.OptionError):
        saved(photo(), quality=101)
    saved(photo(), quality=50, progressive=True)  # other formats' options are ignored, as Pillow does


@pytest.mark.parametrize(
    ("asked", "shift"), [((97, 61), 0), ((50, 30), 0), ((48, 30), 1), ((20, 10), 2), ((1, 1), 5)]
)
def test_draft_decodes_smaller_and_not_below_what_is_asked(asked, shift):
    file = saved(photo(), lossless=True)
    im = Image.open(file)
    im.draft(None, asked)
    im.load()
    expected = narrows.decode(file.getvalue(), scale=1 / 2**shift)
    assert im.size == (expected.width, expected.height)
    assert np.array_equal(np.asarray(im), expected.pixels)


def test_thumbnail_uses_draft():
    im = Image.open(saved(photo(640, 480), quality=80))
    im.thumbnail((64, 64))
    assert im.size == (64, 48)


def test_metadata_is_kept_and_orientation_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    im = photo()
    im.info["icc_profile"] = b"profile"
    back = Image.open(saved(im, lossless=True, exif=exif, xmp=b"<x/>"))
    assert back.info["icc_profile"] == b"profile"
    assert back.info["xmp"] == b"<x/>"
    assert back.getexif()[0x0112] == 1
    assert back.getexif()[0x010F] == "maker"
    assert np.array_equal(np.asarray(back), np.rot90(np.asarray(im), -1))
    back.convert("RGB").save(io.BytesIO(), "JPEG", exif=back.info["exif"])


def test_deep_color_points_to_decode():
    data = narrows.encode(narrows.Image(np.zeros((4, 4, 3), np.uint16)), lossless=True)
    with pytest.raises(OSError, match=r"use narrows\.decode"):
        Image.open(io.BytesIO(data))


def test_other_media_and_modes_are_refused():
    with pytest.raises(OSError, match="holds bytes and no picture"):
        Image.open(io.BytesIO(narrows.encode(b"text")))
    with pytest.raises(OSError, match="cannot write mode CMYK"):
        saved(photo().convert("CMYK"))


def test_damage_is_an_os_error_and_truncated_pictures_can_be_shown():
    data = saved(photo(640, 480), quality=90).getvalue()
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    im = Image.open(io.BytesIO(damaged))
    with pytest.raises(OSError):
        im.load()
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        im = Image.open(io.BytesIO(data[: len(data) * 3 // 4]))
        im.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    assert im.size == (640, 480)


def test_files_are_closed_after_loading(tmp_path):
    photo().save(tmp_path / "a.nrws")
    im = Image.open(tmp_path / "a.nrws")
    im.load()
    assert im.fp is None
    (tmp_path / "a.nrws").unlink()
    assert im.copy().size == (97, 61)
