"""Measure the image tokenizers as codecs, from real files, beside `wave` and WebP of as many bytes.

    python benchmarks/tokens.py kodak
    python benchmarks/tokens.py kodak --names vq,bsq --every 4 --csv rows.csv --pictures out/

A row is the mean over the pictures at one quality: bits per pixel of whole files, PSNR, MS-SSIM, the part of
the ids in use (for codes of numbers, of the values within the range seen), CPU milliseconds in process with
one thread, and what `wave` and WebP (method 6) reach with files that are not larger. `block mean` predicts
each 16 x 16 block by its mean, at no rate.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sets import NAMED, parts

import narrows
from narrows import registry
from narrows.eval.metrics.image import ms_ssim, psnr
from narrows.tokenizers.image import MODELS

QUALITIES = (0.0, 60.0)


@dataclass
class Row:
    """Means over a set of pictures."""

    name: str
    quality: float
    bpp: float
    psnr_db: float
    ms_ssim: float
    use_percent: float
    encode_cpu_ms: float
    decode_cpu_ms: float
    wave_psnr_db: float
    webp_psnr_db: float
    wave_ms_ssim: float
    webp_ms_ssim: float


def main() -> None:
    options = _options()
    for part, pictures in parts(options.set).items():
        pixels = [picture.pixels() for picture in pictures[:: options.every]]
        pixels = [np.repeat(p[:, :, None], 3, 2) if p.ndim == 2 else p for p in pixels]
        flat = [psnr(p, block_mean(p)) for p in pixels]
        print(f"\n## {part}, {len(pixels)} pictures; block mean {np.mean(flat):.2f} dB\n")
        print(
            _line(
                [
                    "tokenizer",
                    "quality",
                    "bpp",
                    "PSNR",
                    "MS-SSIM",
                    "use %",
                    "enc ms",
                    "dec ms",
                    "wave",
                    "WebP",
                    "wave MS",
                    "WebP MS",
                ]
            )
        )
        print(_line(["---"] * 12))
        rows = []
        for name in options.names.split(","):
            for quality in QUALITIES:
                rows.append(measured(name, quality, pixels, options.pictures))
                print(_line(_cells(rows[-1])), flush=True)
        if options.csv:
            with options.csv.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(asdict(rows[0])))
                writer.writeheader()
                writer.writerows(asdict(row) for row in rows)


def measured(name: str, quality: float, pixels: list[Any], folder: Path | None) -> Row:
    """The row of a tokenizer at a quality."""
    tokenizer: Any = registry.tokenizer(name)
    found: list[list[float]] = []
    seen: list[Any] = []
    for number, picture in enumerate(pixels):
        began = time.process_time()
        data = narrows.encode(picture, f"tokens/{name}", quality=quality)
        encoded = time.process_time()
        decoded = narrows.decode(data).pixels
        done = time.process_time()
        seen.append(tokenizer.tokenize(narrows.Image(picture), quality).ids)
        ours = narrows.decode(fitting_wave(picture, len(data))).pixels
        webp = fitting_webp(picture, len(data))
        found.append(
            [
                8 * len(data) / picture[:, :, 0].size,
                psnr(picture, decoded),
                ms_ssim(picture, decoded),
                1e3 * (encoded - began),
                1e3 * (done - encoded),
                psnr(picture, ours),
                psnr(picture, webp),
                ms_ssim(picture, ours),
                ms_ssim(picture, webp),
            ]
        )
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            side_by_side = np.concatenate([picture, decoded], 1)
            Image.fromarray(side_by_side).save(folder / f"{name}-{quality:g}-{number:02d}.png")
    mean = np.mean(found, 0)
    return Row(name, quality, *mean[:3], use(seen, tokenizer, tokenizer.stack.rate_of(quality)), *mean[3:])


def use(seen: list[Any], tokenizer: Any, rate: int) -> float:
    """The percentage of ids in use: of the vocabulary for codes, of the range seen for numbers."""
    shares = []
    stack = tokenizer.stack
    for codebook in range(len(seen[0])):
        ids = np.concatenate([tokens[codebook] for tokens in seen])
        length = stack.id_lengths(rate)[codebook]
        size = 1 << length if stack.is_binary else int(ids.max() - ids.min()) + 1
        shares.append(len(np.unique(ids)) / min(size, len(ids)))
    return 100 * float(np.mean(shares))


def fitting_wave(picture: Any, num_bytes: int) -> bytes:
    """The best `wave` file of at most so many bytes."""
    return narrows.encode(picture, "wave", bpp=8 * num_bytes / picture[:, :, 0].size)


def fitting_webp(picture: Any, num_bytes: int) -> Any:
    """The pixels of the best WebP of at most so many bytes; of quality 0 where that is larger."""
    best, low, high = io.BytesIO(), 0, 100
    while low <= high:
        quality = (low + high) // 2
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= num_bytes or quality == 0:
            best = file
        low, high = (quality + 1, high) if file.tell() <= num_bytes else (low, quality - 1)
    return np.asarray(Image.open(best).convert("RGB"))


def block_mean(picture: Any, side: int = 16) -> Any:
    """Each block's mean in its place."""
    height, width = (n - n % side for n in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // side, side, width // side, side, -1)
    mean = np.rint(blocks.mean((1, 3), keepdims=True)).astype(np.uint8)
    out = picture.copy()
    out[:height, :width] = np.broadcast_to(mean, blocks.shape).reshape(height, width, -1)
    return out


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        f"{row.quality:g}",
        f"{row.bpp:.3f}",
        f"{row.psnr_db:.2f}",
        f"{row.ms_ssim:.4f}",
        f"{row.use_percent:.0f}",
        f"{row.encode_cpu_ms:.0f}",
        f"{row.decode_cpu_ms:.0f}",
        f"{row.wave_psnr_db:.2f}",
        f"{row.webp_psnr_db:.2f}",
        f"{row.wave_ms_ssim:.4f}",
        f"{row.webp_ms_ssim:.4f}",
    ]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Image tokenizers as codecs, beside wave and WebP.")
    parser.add_argument("set", help=f"a folder of pictures, or one of {', '.join(NAMED)}")
    parser.add_argument("--names", default=",".join(sorted(MODELS)), help="tokenizers, by commas")
    parser.add_argument("--every", type=int, default=1, help="one picture in so many")
    parser.add_argument("--csv", type=Path, help="write the rows to this file")
    parser.add_argument("--pictures", type=Path, help="write each picture beside its reconstruction")
    return parser.parse_args()


if __name__ == "__main__":
    main()
