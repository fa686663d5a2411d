"""The tables of `images.py` in Markdown: rate differences, lossless totals, times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from peers import PEERS, Setting
from rows import Row, coder, is_ours
from sets import Picture

from narrows.eval.curves import Curve, MeanDifference, mean_bd_rate
from narrows.eval.metrics.image import ms_ssim_db

Rows = dict[str, list[Row]]
ANCHORS = ("webp_m6", "jpeg420", "jpeg444", "jxl_e7", "j2k", "avif444_s6", "avif444_s4")
MIDDLE_BPP = 0.75
OUR_DEFAULT_QUALITY = 75
METRICS = {"psnr": "PSNR", "ms_ssim": "MS-SSIM"}


def lossy(rows: Rows) -> tuple[str, dict[str, object]]:
    """Rate differences at equal quality: all codecs against two anchors, ours against each peer."""
    lines = ["Percent of bytes at equal quality, mean over pictures; less is better. Times at the setting"]
    lines += [
        f"nearest to {MIDDLE_BPP} bpp. n/a: no quality in common; *: under half of the range in common.",
        "",
    ]
    figures: dict[str, object] = {}
    columns = [("psnr", "webp_m6"), ("ms_ssim", "webp_m6"), ("psnr", "jpeg420"), ("ms_ssim", "jpeg420")]
    columns = [(metric, anchor) for metric, anchor in columns if anchor in rows]
    head = [f"{METRICS[metric]} vs {_title(anchor)}" for metric, anchor in columns]
    body = []
    for codec, found in rows.items():
        cells = [_title(codec), str(len({row.image for row in found}))]
        cells += [
            "0" if codec == anchor else _cell(compare(rows, codec, anchor, metric))
            for metric, anchor in columns
        ]
        middle = _middle(found)
        body.append([*cells, *(f"{_mean(middle, name):.0f}" for name in ("encode_cpu_ms", "decode_cpu_ms"))])
    lines += table(["codec", "pictures", *head, "encode ms", "decode ms"], body)
    for codec in filter(is_ours, rows):
        text, figures[codec] = _against_each(rows, codec)
        lines += ["", *text, "", *_operating_points(rows[codec], codec)]
    return "\n".join(lines), figures


def lossless(rows: Rows) -> tuple[str, dict[str, object]]:
    """Total bytes of exact files, per codec, and each picture's size against the two strongest peers."""
    body = []
    figures: dict[str, object] = {}
    for codec, found in rows.items():
        inexact = [row.image for row in found if row.psnr_rgb != float("inf")]
        total = sum(row.bytes for row in found)
        bpp = 8 * total / sum(8 * row.bytes / row.bpp for row in found)
        exact = "all" if not inexact else "NOT: " + " ".join(inexact)
        body.append(
            [_title(codec), str(len(found)), f"{total:,}", f"{bpp:.2f}", exact]
            + [f"{_mean(found, name):.0f}" for name in ("encode_cpu_ms", "decode_cpu_ms")]
        )
        figures[codec] = {"bytes": total, "bpp": bpp, "inexact": inexact}
    lines = table(["codec", "pictures", "total bytes", "bpp", "exact", "encode ms", "decode ms"], body)
    ours = [codec for codec in rows if is_ours(codec)]
    others = [codec for codec in ("webp_ll_m6", "webp_ll_m4", "jxl_ll_e7") if codec in rows]
    if ours and others:
        sizes = {codec: {row.image: row.bytes for row in rows[codec]} for codec in [*ours, *others]}
        body = []
        for image in sorted(sizes[ours[0]]):
            ratios = [f"{sizes[ours[0]][image] / sizes[codec].get(image, np.nan):.3f}" for codec in others]
            body.append([image, f"{sizes[ours[0]][image]:,}", *ratios])
        lines += ["", *table(["picture", ours[0], *(f"/ {_title(codec)}" for codec in others)], body)]
    return "\n".join(lines), figures


def compare(rows: Rows, codec: str, anchor: str, metric: str) -> MeanDifference | None:
    """BD-rate of `codec` against `anchor` over the pictures that both have; None where it has no meaning."""
    ours, theirs = curves(rows[codec], metric), curves(rows[anchor], metric)
    shared = [image for image in ours if image in theirs]
    if codec == anchor or not shared:
        return None
    try:
        return mean_bd_rate([theirs[image] for image in shared], [ours[image] for image in shared])
    except ValueError:
        return None


def side_by_side(part: str, codecs: Sequence[str], pictures: Sequence[Picture], rounds: int) -> str:
    """CPU time at a middle setting, codecs taking turns on each picture, least of `rounds`; then the mean."""
    middle: dict[str, Setting] = {}
    for codec in codecs:
        peer = PEERS.get(codec)
        middle[codec] = peer.settings[len(peer.settings) // 2] if peer else OUR_DEFAULT_QUALITY
    calls = {codec: coder(codec) for codec in codecs}
    least = {codec: np.full((len(pictures), 2), np.inf) for codec in codecs}
    sizes = dict.fromkeys(codecs, 0)
    for i, picture in enumerate(pictures):
        pixels = picture.pixels()
        for turn in range(rounds):
            for codec, (encode, decode) in calls.items():
                begin = time.process_time()
                data = encode(pixels, middle[codec])
                between = time.process_time()
                decode(data, pixels)
                spent = (between - begin, time.process_time() - between)
                least[codec][i] = np.minimum(least[codec][i], spent)
                sizes[codec] += len(data) if turn == 0 else 0
    body = []
    for codec in codecs:
        encode_ms, decode_ms = 1000 * least[codec].mean(axis=0)
        worst = 1000 * least[codec].max(axis=0)
        body.append(
            [_title(codec), f"{middle[codec]:g}", f"{sizes[codec]:,}", f"{encode_ms:.1f}", f"{worst[0]:.1f}",
             f"{decode_ms:.1f}", f"{worst[1]:.1f}"]
        )  # fmt: skip
    head = ["codec", "setting", "bytes", "encode ms", "worst", "decode ms", "worst"]
    title = f"\n## {part}, CPU time, one thread, {len(pictures)} pictures, least of {rounds}\n\n"
    return title + "\n".join(table(head, body))


def _against_each(rows: Rows, codec: str) -> tuple[list[str], dict[str, object]]:
    body = []
    figures: dict[str, object] = {}
    for anchor in (name for name in ANCHORS if name in rows):
        cells = [_title(anchor)]
        for metric in METRICS:
            found = compare(rows, codec, anchor, metric)
            if found is None:
                cells += ["n/a", ""]
                continue
            images = [image for image in curves(rows[codec], metric) if image in curves(rows[anchor], metric)]
            ranked = sorted(zip(found.per_file, images, strict=True))
            ends = [f"{image} {value:+.0f}" for value, image in (ranked[0], ranked[-1])]
            cells += [f"{found}{'*' if found.overlap < 0.5 else ''}", f"{ends[0]} .. {ends[1]}"]
            figures[f"{anchor}/{metric}"] = asdict(found) | {"images": images}
        body.append(cells)
    head = [f"{_title(codec)} against", "PSNR, 95 %", "best .. worst", "MS-SSIM, 95 %", "best .. worst"]
    return table(head, body), figures


def _operating_points(found: list[Row], codec: str) -> list[str]:
    body = []
    for setting in sorted({row.setting for row in found}):
        at = [row for row in found if row.setting == setting]
        values = (_mean(at, "bpp"), _mean(at, "psnr_rgb"), _mean(at, "ms_ssim"))
        times = (_mean(at, "encode_cpu_ms"), _mean(at, "decode_cpu_ms"))
        body.append([f"{setting:g}", *(f"{v:.{n}f}" for v, n in zip(values, (3, 2, 4), strict=True)),
                     *(f"{t:.0f}" for t in times)])  # fmt: skip
    return table([f"{_title(codec)} quality", "bpp", "PSNR", "MS-SSIM", "encode ms", "decode ms"], body)


def curves(found: list[Row], metric: str) -> dict[str, Curve]:
    curves = {}
    for image in dict.fromkeys(row.image for row in found):
        points = [(row.bytes, _quality(row, metric)) for row in found if row.image == image]
        usable = [(size, quality) for size, quality in points if np.isfinite(quality)]
        if usable:
            curves[image] = Curve(*zip(*usable, strict=True))
    return curves


def _quality(row: Row, metric: str) -> float:
    return row.psnr_rgb if metric == "psnr" else ms_ssim_db(row.ms_ssim)


def _middle(found: list[Row]) -> list[Row]:
    settings = {row.setting for row in found}
    at = {s: [row for row in found if row.setting == s] for s in settings}
    return min(at.values(), key=lambda rows: abs(np.log(_mean(rows, "bpp") / MIDDLE_BPP)))


def _mean(found: Sequence[Row], name: str) -> float:
    return float(np.mean([getattr(row, name) for row in found]))


def _title(codec: str) -> str:
    return PEERS[codec].title if codec in PEERS else codec


def _cell(difference: MeanDifference | None) -> str:
    """The mean; `n/a` where curves do not meet, `*` where they share under half of the anchor's range."""
    if difference is None:
        return "n/a"
    return f"{difference.mean:+.1f}{'*' if difference.overlap < 0.5 else ''}"


def table(head: list[str], body: list[list[str]]) -> list[str]:
    rows = [head, *body]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [":" + "-" * (w - 1) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return [line(head), f"|{'|'.join(f' {r} ' for r in rule)}|", *(line(row) for row in body)]
