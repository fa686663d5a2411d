"""The sets of pictures that the benchmarks measure on, found under the folder named by NARROWS_DATA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

PHOTOGRAPHS = ("face_512.png", "grey_512.png", "large_bird.webp", "odd_509x383.png", "exif6_icc_rocket.jpg")
GRAPHICS = ("ui_gnome.png", "chart_1008x504.png", "scan_384x191.png", "palette_cat.png")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm")

# kodak, other and graphics are for evaluation only. Constants are tuned on the two parts of validation.
NAMED = ("kodak", "other", "graphics", "validation")


@dataclass(frozen=True)
class Picture:
    """A picture file; `pixels` reads it upright as uint8 grey or RGB, without alpha."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def pixels(self) -> npt.NDArray[np.uint8]:
        with Image.open(self.path) as image:
            upright = ImageOps.exif_transpose(image)
            return np.asarray(upright if upright.mode in ("L", "RGB") else upright.convert("RGB"))


def parts(name: str) -> dict[str, list[Picture]]:
    """Name of each part of a set and its pictures; `name` is one of NAMED or a folder.

    Raises SystemExit with one sentence where there is nothing to read.
    """
    folder = Path(name)
    if name not in NAMED:
        found = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            raise SystemExit(f"{name}: neither a folder with pictures nor one of {', '.join(NAMED)}")
        return {folder.name: [Picture(p) for p in found]}
    data = _data()
    if name == "kodak":
        return {name: [Picture(p) for p in sorted((data / "images_eval/kodak").glob("kodim*.png"))]}
    if name in ("other", "graphics"):
        files = PHOTOGRAPHS if name == "other" else GRAPHICS
        return {name: [Picture(data / "images_eval/other" / file) for file in files]}
    return validation(data / "images_train")


def validation(folder: Path) -> dict[str, list[Picture]]:
    """The two parts of the training pictures that no training sees, split where training splits them."""
    from narrows.training.wave import split_pictures

    _, lomiri, tenth = split_pictures(folder)
    return {"lomiri": [Picture(p) for p in lomiri], "tenth": [Picture(p) for p in tenth]}


def _data() -> Path:
    value = os.environ.get("NARROWS_DATA")
    if not value or not Path(value).is_dir():
        raise SystemExit("set NARROWS_DATA to the folder of test and training data")
    return Path(value)
