"""Training pictures as wavelet packets: what the image tokenizers learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from narrows.errors import OptionError
from narrows.tokenizers.image import LEVELS, PLANES
from narrows.training.wave import split_pictures
from narrows.transforms import packet

UNIT = 32.0  # of 8-bit levels: coefficients are trained in it
Arrays = list[np.ndarray]


def bands_of(pixels: np.ndarray) -> np.ndarray:
    """Return the packet of uint8 `pixels` [height, width, 3] in units of 32 levels, middle gray being 0."""
    height, width = (side - side % (1 << LEVELS) for side in pixels.shape[:2])
    planes = np.moveaxis(pixels[:height, :width].astype(np.float32) - 127.5, 2, 0)
    return packet.analysis(planes, LEVELS) / np.float32(UNIT)


def load(data: str) -> tuple[Arrays, Arrays]:
    """Return the packets of the training pictures, whole and at half the size, and of those held out.

    float16 [192, height / 8, width / 8] each. Held out are `lomiri` and every tenth author, as for `wave`.
    """
    from PIL import Image

    folder = Path(data) / "images_train"
    if not data or not (folder / "manifest.csv").is_file():
        raise OptionError("data must be a folder that has images_train (or set NARROWS_DATA)")
    train, lomiri, tenth = split_pictures(folder)
    found: tuple[Arrays, Arrays] = ([], [])
    for files, out, halves in ((train, found[0], True), (lomiri + tenth, found[1], False)):
        for path in files:
            picture = Image.open(path).convert("RGB")
            sizes: list[Any] = [picture, picture.reduce(2)] if halves else [picture]
            out += [bands_of(np.asarray(size)).astype(np.float16) for size in sizes]
    return found


def crops(pictures: Arrays, rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Return `count` random crops, float32 [count, 192, side, side], drawn by the pictures' areas."""
    areas = np.array([picture[0].size for picture in pictures], np.float64)
    out = np.empty((count, PLANES, side, side), np.float32)
    for i, which in enumerate(rng.choice(len(pictures), count, p=areas / areas.sum())):
        picture = pictures[which]
        top, left = (int(rng.integers(0, size - side + 1)) for size in picture.shape[1:])
        out[i] = picture[:, top : top + side, left : left + side]
    return out


def gains() -> np.ndarray:
    """Return what a squared error of one in each plane is in pixels, [192]: the synthesis's squared norms."""
    side = 32
    out = np.empty(4**LEVELS)
    for band in range(4**LEVELS):
        impulse = np.zeros((4**LEVELS, side, side), np.float32)
        impulse[band, side // 2, side // 2] = 1
        out[band] = np.square(packet.synthesis(impulse, LEVELS), dtype=np.float64).sum()
    return np.tile(out, 3)


def principal(pictures: Arrays, weights: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return encoder [192, 192], decoder [192, 192] and variances of the weighted principal components.

    The first rows of the encoder keep, of all linear maps to so many numbers, the most of the weighted error.
    """
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            picture.reshape(PLANES, -1)[:, rng.integers(0, picture[0].size, 500)].T.astype(np.float64)
            for picture in pictures
        ]
    )
    root = np.sqrt(weights)
    # About zero, not about the mean: the map stays linear, and gray stays gray.
    values, vectors = np.linalg.eigh((rows * root).T @ (rows * root) / len(rows))
    order = np.argsort(-values)
    vectors = vectors[:, order]
    vectors *= np.where(vectors.sum(0) < 0, -1, 1)
    return vectors.T * root, vectors / root[:, None], values[order]
