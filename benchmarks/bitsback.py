"""Measure bits back by the trained auto-encoder: net bits a pixel in a chain of pictures, without loss.

    python benchmarks/bitsback.py kodak --every 4

`net` is what the stack grew by and what is sent beside it; `bound` minus the evidence bound by the tables, at
latents drawn apart; `without` what the same tables cost when the drawn bits are not got back. The gap of net
and bound has two parts: `escapes`, what the stack takes for a value beyond its table (32 bits) over what the
tables say, and `draws`, what latents cost more that are drawn with bits a picture left on the stack, which
are not quite random.
"""

from __future__ import annotations

import argparse

import numpy as np
from sets import NAMED, parts

from narrows import registry
from narrows.entropy import Stack
from narrows.tokenizers import bitsback


def main() -> None:
    parser = argparse.ArgumentParser(description="Bits back by the trained auto-encoder.")
    parser.add_argument("set", help=f"a folder of pictures, or one of {', '.join(NAMED)}")
    parser.add_argument("--every", type=int, default=1, help="one picture in so many")
    options = parser.parse_args()
    tokenizer = registry.tokenizer("vae")
    for part, found in parts(options.set).items():
        pixels = [picture.pixels() for picture in found[:: options.every]]
        pixels = [p for p in pixels if p.ndim == 3]
        stack = Stack(np.random.default_rng(1).bytes(200_000))
        sides, net, bound, without, escapes, draws = [], [], [], [], [], []
        for picture in pixels:
            size, before = picture[:, :, 0].size, stack.size_bits()
            at_draw, _ = bitsback.table_bits(tokenizer, picture, bitsback.draw(stack, tokenizer, picture))
            sides.append(bitsback.push(stack, tokenizer, picture))
            net.append((stack.size_bits() - before + sides[-1].bits) / size)
            bits, back = bitsback.bound_bits(tokenizer, picture)
            bound.append((bits + sides[-1].bits) / size)
            without.append((bits + back + sides[-1].bits) / size)
            escapes.append(net[-1] - (at_draw + sides[-1].bits) / size)
            draws.append((at_draw - bits) / size)
        exact = all(
            np.array_equal(bitsback.pop(stack, tokenizer, side), picture)
            for side, picture in zip(reversed(sides), reversed(pixels), strict=True)
        )
        print(f"{part}: {len(pixels)} pictures, net {np.mean(net):.4f} bpp, bound {np.mean(bound):.4f},")
        print(f"without {np.mean(without):.4f}; decoded exactly: {exact}")
        print(f"net - bound: escapes {np.mean(escapes):.4f}, draws {np.mean(draws):.4f}")
        print("draws by place in the chain:", *(f"{value:.4f}" for value in draws))


if __name__ == "__main__":
    main()
