"""Measure one codec on one picture at one setting; keep the peers' rows so that they are measured once."""

from __future__ import annotations

import csv
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from peers import PEERS, Pixels, Setting
from sets import Picture

from narrows.eval.metrics.image import ms_ssim, psnr

OUR_QUALITIES: tuple[Setting, ...] = (5, 12, 22, 38, 58, 76, 88, 94)
LOSSLESS = 100  # the quality that means lossless in `wave`


@dataclass(frozen=True)
class Row:
    """One file written and read back; `psnr_rgb` inf means equal pixels, `ms_ssim` nan a side under 161."""

    codec: str
    version: str
    image: str
    digest: str
    setting: float
    bytes: int
    bpp: float
    psnr_rgb: float
    ms_ssim: float
    encode_cpu_ms: float
    decode_cpu_ms: float

    @property
    def key(self) -> tuple[str, str, str, float]:
        return self.codec, self.version, self.digest, self.setting


def digest(pixels: Pixels) -> str:
    """Name of a picture's content, so that a kept row is never taken for another picture's."""
    return f"{zlib.crc32(np.ascontiguousarray(pixels).tobytes()):08x}-{'x'.join(map(str, pixels.shape))}"


def is_ours(codec: str) -> bool:
    return codec not in PEERS


def coder(codec: str) -> tuple[Callable[[Pixels, Setting], bytes], Callable[[bytes, Pixels], Pixels]]:
    """Encoder and decoder of a peer, or of our codec named as on the command line (`wave:tune=ms-ssim`)."""
    if not is_ours(codec):
        return PEERS[codec].encode, PEERS[codec].decode
    import narrows

    name, _, listed = codec.partition(":")
    options: dict[str, Any] = {}
    for item in filter(None, listed.split(",")):
        key, _, value = item.partition("=")
        options[key] = int(value) if value.lstrip("-").isdigit() else value

    def encode(pixels: Pixels, quality: Setting) -> bytes:
        return narrows.encode(narrows.Image(pixels), codec=name, quality=quality, threads=1, **options)

    def decode(data: bytes, like: Pixels) -> Pixels:
        return narrows.decode(data, threads=1).pixels.reshape(like.shape)

    return encode, decode


def version(codec: str) -> str:
    if not is_ours(codec):
        return PEERS[codec].version
    import narrows

    return f"narrows {narrows.__version__}"


def settings(codec: str, *, lossless: bool) -> tuple[Setting, ...]:
    if not is_ours(codec):
        return PEERS[codec].settings
    return (LOSSLESS,) if lossless else OUR_QUALITIES


def measure(codec: str, picture: Picture, at: Iterable[Setting]) -> list[Row]:
    """Encode and decode in this process; CPU time of all its threads, weights warm after the first row."""
    encode, decode = coder(codec)
    pixels = picture.pixels()
    if is_ours(codec):
        decode(encode(pixels[:64, :64].copy(), 50), pixels[:64, :64])
    rows = []
    for setting in at:
        begin = time.process_time()
        data = encode(pixels, setting)
        middle = time.process_time()
        decoded = decode(data, pixels)
        end = time.process_time()
        small = min(pixels.shape[:2]) < 161
        rows.append(
            Row(
                codec=codec,
                version=version(codec),
                image=picture.name,
                digest=digest(pixels),
                setting=setting,
                bytes=len(data),
                bpp=8 * len(data) / (pixels.shape[0] * pixels.shape[1]),
                psnr_rgb=psnr(pixels, decoded),
                ms_ssim=float("nan") if small else ms_ssim(pixels, decoded),
                encode_cpu_ms=1000 * (middle - begin),
                decode_cpu_ms=1000 * (end - middle),
            )
        )
    return rows


class Store:
    """Rows of peers in a CSV file, keyed by codec, library version, picture content and setting."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows = {row.key: row for row in read_csv(path)} if path and path.exists() else {}

    def gather(self, codec: str, pictures: list[Picture], *, lossless: bool, jobs: int) -> list[Row]:
        """Rows of a codec on each picture, measured where they are not kept. Ours are always measured."""
        wanted = settings(codec, lossless=lossless)
        kept: list[Row] = []
        missing: list[tuple[str, Picture, list[Setting]]] = []
        for picture in pictures:
            known = {} if is_ours(codec) else self._known(codec, picture)
            kept += [known[s] for s in wanted if s in known]
            left = [s for s in wanted if s not in known]
            if left:
                missing.append((codec, picture, left))
        if jobs > 1 and len(missing) > 1:
            with ProcessPoolExecutor(jobs) as pool:
                found = [row for rows in pool.map(measure, *zip(*missing, strict=True)) for row in rows]
        else:
            found = [row for task in missing for row in measure(*task)]
        if found and not is_ours(codec):
            self.rows.update((row.key, row) for row in found)
            self._save()
        return sorted(kept + found, key=lambda row: (row.image, row.bytes))

    def _known(self, codec: str, picture: Picture) -> dict[Setting, Row]:
        name = digest(picture.pixels())
        keys = ((s, (codec, version(codec), name, s)) for s in PEERS[codec].settings)
        return {s: self.rows[key] for s, key in keys if key in self.rows}

    def _save(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            write_csv(part, self.rows.values())
            part.replace(self.path)


def read_csv(path: Path) -> list[Row]:
    texts = {"codec", "version", "image", "digest"}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(**{k: v if k in texts else int(v) if k == "bytes" else float(v) for k, v in line.items()})
            for line in csv.DictReader(file)
        ]


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
