"""What Pillow would cut, turn twice, drop or refuse late (files/image.py)."""

import io
import struct
import threading
import warnings

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import PngImagePlugin

from narrows import files
from narrows.errors import LimitExceeded, SignalError
from narrows.limits import Limits
from narrows.signals import Image

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (7, 5, 3), np.uint8)


def saved(im, kind="PNG", **options):
    file = io.BytesIO()
    im.save(file, format=kind, **options)
    file.seek(0)
    return file


def read(im, kind="PNG", **options):
    return files.read(saved(im, kind, **options))


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 2), (7, 5, 3), (7, 5, 4), (1, 1, 3), (1, 9), (9, 1, 4)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_eight_bit_modes_are_exact(shape, kind):
    pixels = RNG.integers(0, 256, shape, np.uint8)
    image = read(pillow.fromarray(pixels), kind)
    assert np.array_equal(image.pixels, pixels.reshape(*shape[:2], -1))
    assert (image.bit_depth, image.color) == (8, "srgb")


def test_large_pictures_are_read_in_strips():
    pixels = RNG.integers(0, 256, (3001, 2000, 3), np.uint8)
    assert np.array_equal(read(pillow.fromarray(pixels), "BMP").pixels, pixels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_exact(kind):
    pixels = RNG.integers(0, 65536, (6, 4), np.uint16)
    image = read(pillow.fromarray(pixels), kind)
    assert image.bit_depth == 16
    assert np.array_equal(image.pixels[:, :, 0], pixels)


def test_big_endian_tiff_of_sixteen_bits_is_exact():
    pixels = RNG.integers(0, 65536, (6, 4), np.uint16)
    im = pillow.frombytes("I;16B", (4, 6), pixels.astype(">u2").tobytes())
    assert np.array_equal(read(im, "TIFF").pixels[:, :, 0], pixels)


def test_bilevel_becomes_black_and_white():
    pixels = RNG.integers(0, 2, (6, 11), np.uint8) * 255
    assert np.array_equal(read(pillow.fromarray(pixels).convert("1")).pixels[:, :, 0], pixels)


def test_palette_without_transparency_becomes_rgb():
    im = pillow.fromarray(RGB).quantize(8)
    assert np.array_equal(read(im).pixels, np.asarray(im.convert("RGB")))


@pytest.mark.parametrize("transparency", [2, bytes([0, 128, 255, 7])])
def test_palette_with_transparency_becomes_rgba(transparency):
    im = pillow.fromarray(RGB).quantize(4)
    image = read(im, transparency=transparency)
    assert image.channels == 4
    index = np.asarray(im)
    table = list(transparency) if isinstance(transparency, bytes) else [255, 255, 0, 255]
    assert np.array_equal(image.pixels[:, :, 3], np.array(table)[index])
    assert np.array_equal(image.pixels[:, :, :3], np.asarray(im.convert("RGB")))


def test_transparent_color_becomes_alpha():
    key = tuple(int(v) for v in RGB[2, 3])
    image = read(pillow.fromarray(RGB), transparency=key)
    assert image.pixels[2, 3].tolist() == [*key, 0]
    assert np.array_equal(image.pixels[:, :, :3], RGB)
    assert (image.pixels[:, :, 3] == 0).sum() == (key == RGB).all(axis=2).sum()


def test_transparent_grey_of_sixteen_bits_becomes_alpha():
    pixels = np.array([[258, 259], [3, 258]], np.uint16)
    image = read(pillow.fromarray(pixels), transparency=258)
    assert image.pixels[:, :, 1].tolist() == [[0, 65535], [65535, 0]]


def test_color_under_alpha_zero_survives():
    pixels = RNG.integers(0, 256, (5, 5, 4), np.uint8)
    pixels[:, :, 3] = 0
    for extension in (".png", ".webp", ".tiff"):
        file = io.BytesIO()
        files.write(Image(pixels), file, extension=extension)
        file.seek(0)
        assert np.array_equal(files.read(file).pixels, pixels), extension


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_once(kind, orientation):
    from PIL import ImageOps

    exif = pillow.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "maker"
    shape = np.zeros((24, 40), np.uint8)
    shape[:8, :30] = 250  # no symmetry
    im = pillow.fromarray(shape).convert("RGB")
    file = saved(im, kind, exif=exif)
    with pillow.open(file) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    file.seek(0)
    image = files.read(file)
    assert np.array_equal(image.pixels, upright)
    if "exif" in image.meta:
        kept = pillow.Exif()
        kept.load(b"Exif\0\0" + image.meta["exif"])
        assert kept.get(0x0112, 1) == 1
        assert kept[0x010F] == "maker"
    again = io.BytesIO()
    files.write(image, again, extension=".png")
    again.seek(0)
    assert np.array_equal(files.read(again).pixels, upright)


def test_exif_changes_in_the_orientation_alone():
    exif = b"MM\0*\0\0\0\x08\0\2\x01\x12\0\3\0\0\0\1\0\6\0\0\x01\x1a\0\3\0\0\0\1\0\7\0\0\0\0\0\0tail"
    image = read(pillow.fromarray(RGB), "WEBP", exif=exif, lossless=True)
    assert image.meta["exif"] == exif.replace(b"\0\6\0\0", b"\0\1\0\0")
    assert (image.height, image.width) == (5, 7)


def test_profile_exif_and_xmp_are_kept_byte_for_byte():
    profile = b"not really a profile, but kept" * 9
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    image = Image(RGB, color="icc", meta={"icc": profile, "exif": exif, "xmp": xmp})
    for extension in (".png", ".jpg", ".webp", ".avif"):
        file = io.BytesIO()
        files.write(image, file, extension=extension)
        file.seek(0)
        again = files.read(file)
        assert again.color == "icc", extension
        assert again.meta == image.meta, extension


def frames(count):
    return [pillow.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(count)]


@pytest.mark.parametrize(
    ("kind", "word"), [("GIF", "frames"), ("PNG", "frames"), ("WEBP", "frames"), ("TIFF", "pages")]
)
def test_animations_are_refused_with_their_frame_count(kind, word):
    first, *rest = frames(3)
    with pytest.raises(SignalError, match=f"3 {word}"):
        read(first, kind, save_all=True, append_images=rest)


def test_the_first_picture_of_a_multi_picture_jpeg_is_read():
    first, second = frames(2)
    file = saved(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert pillow.open(file).n_frames == 2
    file.seek(0)
    assert files.read(file).channels == 3


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("F", "TIFF"), ("LAB", "TIFF"), ("I", "TIFF")]
)
def test_other_modes_are_refused_by_name(mode, kind):
    with pytest.raises(SignalError, match=f"{kind} of mode {mode}"):
        read(pillow.new(mode, (4, 4)), kind)


def test_sixteen_bit_color_is_never_cut():
    pixmap = io.BytesIO(b"P6 2 1 65535\n" + bytes(12))
    with pytest.raises(SignalError, match="PPM with 16 bits"):
        files.read(pixmap)
    # 2 x 1 pixels of 3 x 16 bits, written out: Pillow cannot write it
    tags = [
        (256, 3, 2),
        (257, 3, 1),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 2),
        (273, 4, 200),
        (277, 3, 3),
        (278, 3, 1),
        (279, 4, 12),
    ]
    directory = b"".join(
        struct.pack("<HHIHxx" if kind == 3 else "<HHII", tag, kind, 1, value) for tag, kind, value in tags
    )
    directory = directory.replace(struct.pack("<HHIHxx", 258, 3, 1, 16), struct.pack("<HHII", 258, 3, 3, 180))
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + directory + bytes(4)
    tiff = tiff.ljust(180, b"\0") + struct.pack("<3H", 16, 16, 16)
    tiff = tiff.ljust(200, b"\0") + bytes(range(12))
    with pytest.raises(SignalError, match="TIFF with 16 bits"):
        files.read(io.BytesIO(tiff))


def test_limits_come_before_the_pixels_and_without_pillows_own():
    image = io.BytesIO()
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    image.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    image.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LimitExceeded) as caught:
            files.read(image)
    assert (caught.value.limit, caught.value.value) == ("max_pixels", 400_000_000)
    image.seek(0)
    with pytest.raises(SignalError):
        files.read(image, limits=Limits(max_pixels=2**30))  # allowed, and then cut short


def chunk(kind, data):
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_reading_leaves_pillows_globals_alone():
    before = pillow.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    file = saved(pillow.new("L", (9_500, 9_500)), "PNG")  # above the size that makes Pillow warn
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(files.read(io.BytesIO(file.getvalue()))))
        for _ in range(2)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [image.width for image in results] == [9_500, 9_500]
    assert before == (pillow.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_cut_files_are_refused(kind):
    noise = RNG.integers(0, 256, (40, 40, 3), np.uint8)
    whole = saved(pillow.fromarray(noise), kind).getvalue()
    for size in (len(whole) // 2, len(whole) * 9 // 10, 64):
        with pytest.raises(SignalError):
            files.read(io.BytesIO(whole[:size]), as_medium="image")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_damaged_files_give_a_picture_or_a_signal_error(kind):
    whole = saved(pillow.fromarray(RGB), kind).getvalue()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        damaged = bytearray(whole)
        for at in rng.integers(0, len(damaged), 3):
            damaged[at] = rng.integers(0, 256)
        try:
            image = files.read(io.BytesIO(damaged), limits=Limits(max_pixels=10_000), as_medium="image")
        except (SignalError, LimitExceeded):
            continue
        assert image.width * image.height <= 10_000


def test_formats_that_cannot_hold_a_picture_say_so():
    alpha, deep = Image(np.zeros((2, 2, 4), np.uint8)), Image(np.zeros((2, 2, 3), np.uint16))
    for image, extension, words in [
        (alpha, ".jpg", "cannot hold alpha"),
        (alpha, ".bmp", "cannot hold alpha"),
        (deep, ".webp", "cannot hold 16 bits"),
        (deep, ".tiff", "cannot hold 16 bits"),
        (Image(np.zeros((1, 16_384, 3), np.uint8)), ".webp", "at most 16,383"),
        (Image(np.zeros((1, 1, 3), np.uint8)), ".pgm", "holds grey"),
        (Image(np.zeros((1, 1, 3), np.uint8)), ".xyz", "no picture format"),
    ]:
        with pytest.raises(SignalError, match=words):
            files.write(image, io.BytesIO(), extension=extension)


def test_other_depths_are_scaled_to_full_range():
    ten = Image(np.array([[0, 512, 1023]], np.uint16), bit_depth=10)
    four = Image(np.array([[0, 7, 15]], np.uint8), bit_depth=4)
    for image, expected in ((ten, [0, 32800, 65535]), (four, [0, 119, 255])):
        file = io.BytesIO()
        files.write(image, file)
        file.seek(0)
        assert files.read(file).pixels.ravel().tolist() == expected


def test_text_that_begins_like_a_picture_is_bytes():
    for text in (
        b"BM is a way to begin a text that goes on for a while",
        b"P3 players",
        b"RIFF raff of all kinds",
    ):
        assert files.read(io.BytesIO(text)).data == text
