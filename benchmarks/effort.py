"""Measure what `effort` brings to the image tokenizers, and the capacity of their decoders.

    python benchmarks/effort.py kodak
    python benchmarks/effort.py kodak --names wae --every 4

Of the middle 384 x 256 pixels of the pictures: bits per pixel of payload and PSNR without a search and with
that of `effort` 9, the PSNR gained at equal bits (against the same tokenizer at steps around this one), CPU
seconds of the search. Then `narrows.tokenizers.search.capacity` of 128 x 128 pixels of the fifth picture (300
steps), in bits a position, beside the entropy of the symbols found.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from sets import NAMED, parts

from narrows import registry
from narrows.eval.metrics.image import psnr
from narrows.tokenizers import image
from narrows.tokenizers.image import Stack
from narrows.tokenizers.search import capacity, search
from narrows.transforms import packet

STEPS = 36  # of `effort` 9
AROUND = (0.6, 0.75, 0.9, 1.0, 1.15, 1.3, 1.6)
QUALITIES = (20.0, 60.0)


def coded(stack: Stack, pixels: np.ndarray, symbols: np.ndarray, rate: int) -> tuple[float, float]:
    """Bits per pixel of payload and PSNR of symbols."""
    sides = np.full((stack.prior.num_sides, *symbols.shape), stack.side(rate), np.uint8)
    payload = stack.prior.encode(symbols, sides, check=False, hash_index=False)
    planes = packet.synthesis(stack.bands(stack.dequantize(symbols, rate)), image.LEVELS)
    return 8 * len(payload) / pixels[:, :, 0].size, psnr(pixels, image.pixels_of(planes, *pixels.shape, 255))


def effort(stack: Stack, crops: list[np.ndarray], quality: float) -> str:
    """A table's row."""
    rate = stack.rate_of(quality)
    rates = [max(1, round(rate * factor)) for factor in AROUND]
    plain, found, spent = [], [], 0.0
    for pixels in crops:
        bands = image.bands_of(pixels, 255)
        latent = stack.latent(bands)
        plain.append([coded(stack, pixels, stack.quantize(latent, r), r) for r in rates])
        started = time.process_time()
        symbols = search(stack, bands, rate, steps=STEPS).symbols
        spent += time.process_time() - started
        found.append(coded(stack, pixels, symbols, rate))
    means, (bpp, db) = np.mean(plain, 0), np.mean(found, 0)
    at = means[AROUND.index(1.0)]
    order = np.argsort(means[:, 0])
    equal = np.interp(np.log(bpp), np.log(means[order, 0]), means[order, 1])
    return (
        f"| {stack.kind} | {quality:g} | {at[0]:.4f}, {at[1]:.2f} | {bpp:.4f}, {db:.2f} "
        f"| {100 * (bpp / at[0] - 1):+.1f} % | {db - equal:+.2f} dB | {spent / len(crops):.1f} s |"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", help=f"a folder of pictures, or one of {', '.join(NAMED)}")
    parser.add_argument("--names", default="vae,wae,walloc", help="tokenizers, by commas")
    parser.add_argument("--every", type=int, default=8, help="one picture in so many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    (pictures,) = parts(options.set).values()
    stacks = [registry.tokenizer(name).stack for name in options.names.split(",")]
    crops = [middle(picture.pixels(), 384, 256) for picture in pictures[:: options.every]]
    print(f"{len(crops)} crops\n\n| tokenizer | quality | without | with | bits | PSNR at equal bits | CPU |")
    print("|---|---|---|---|---|---|---|")
    for stack in stacks:
        for quality in QUALITIES:
            print(effort(stack, crops, quality), flush=True)
    crop = middle(pictures[min(4, len(pictures) - 1)].pixels(), 128, 128)
    print("\n| tokenizer | quality | capacity | entropy |\n|---|---|---|---|")
    for stack in stacks:
        for quality in QUALITIES:
            told = capacity(stack, image.bands_of(crop, 255), stack.rate_of(quality), steps=300)
            print(f"| {stack.kind} | {quality:g} | {told[0]:.1f} | {told[1]:.1f} |", flush=True)


def middle(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle of a picture, RGB."""
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width, :3]


if __name__ == "__main__":
    main()
