"""Compare `wave` with other picture codecs: rate-distortion, lossless size, CPU time, from real files.

    python benchmarks/images.py kodak
    python benchmarks/images.py validation --codecs wave,webp_m6
    python benchmarks/images.py photos/ --plot rates.svg --csv rows.csv

Every figure comes from a file that was written and decoded, with one thread, in this process. Peers'
rows are kept in runs/images_peers.csv, so that a second run measures our codec alone; times in the
tables are then those of the run that made the row. `--times` measures times side by side instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tables
from peers import PEERS
from rows import Row, Store, is_ours, write_csv
from sets import NAMED, parts


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    store = Store(None if options.fresh else options.cache)
    codecs = _available(options.codecs)
    report: dict[str, object] = {}
    all_rows: list[Row] = []
    for part, pictures in parts(options.set).items():
        if options.images:
            pictures = [p for p in pictures if p.name in options.images]
        if options.times:
            print(tables.side_by_side(part, codecs, pictures, options.times))
            continue
        for lossless in (False, True):
            if options.lossy if lossless else options.lossless:
                continue
            rows = {}
            for codec in codecs:
                if is_ours(codec) and lossless and ":" in codec:
                    continue  # an option such as tune changes nothing in a lossless file
                if is_ours(codec) or PEERS[codec].lossless == lossless:
                    _progress(f"{part}: {codec}")
                    rows[codec] = store.gather(codec, pictures, lossless=lossless, jobs=options.jobs)
            all_rows += [row for found in rows.values() for row in found]
            _progress("")
            if not rows:
                continue
            kind = "lossless" if lossless else "lossy"
            print(f"\n## {part}, {kind}, {len(pictures)} pictures\n")
            text, figures = (tables.lossless if lossless else tables.lossy)(rows)
            print(text)
            report[f"{part}/{kind}"] = figures
            if options.plot and not lossless:
                import plot

                plot.rate_quality(rows, options.plot, part)
    if options.csv:
        write_csv(options.csv, all_rows)
    if options.json:
        content = {
            "schema": "narrows.bench.images/1",
            "tables": report,
            "rows": [asdict(r) for r in all_rows],
        }
        options.json.write_text(json.dumps(content, indent=1, default=_plain), encoding="utf-8")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog=f"Peers: {', '.join(PEERS)}. Sets: {', '.join(NAMED)}, or a folder.",
    )
    parser.add_argument("set", help="kodak, other, graphics, validation (under NARROWS_DATA) or a folder")
    parser.add_argument(
        "--codecs",
        type=lambda s: s.split(";" if ";" in s else ","),
        metavar="A,B;...",
        help="ours by name and options (wave, wave:tune=ms-ssim), peers by name; all by default",
    )
    parser.add_argument("--images", type=lambda s: set(s.split(",")), help="only these, by name")
    parser.add_argument("--lossy", action="store_true", help="only lossy files")
    parser.add_argument("--lossless", action="store_true", help="only lossless files")
    parser.add_argument(
        "--times",
        type=int,
        metavar="ROUNDS",
        default=0,
        help="instead, measure times at middle rates, codecs taking turns, least of ROUNDS",
    )
    parser.add_argument("--csv", type=Path, help="write every row")
    parser.add_argument("--json", type=Path, help="write tables and rows")
    parser.add_argument("--plot", type=Path, help="draw rate against quality (.svg or .png)")
    parser.add_argument("--jobs", type=int, default=1, help="pictures at a time (times then say less)")
    parser.add_argument("--cache", type=Path, default=Path("runs/images_peers.csv"), help="rows of peers")
    parser.add_argument("--fresh", action="store_true", help="measure peers again, keep nothing")
    return parser.parse_args(arguments)  # fmt: skip


def _available(asked: list[str] | None) -> list[str]:
    """Codecs to run, ours first; says why one is left out."""
    names = asked or ["wave", *(name for name, peer in PEERS.items() if peer.default)]
    kept = []
    for name in names:
        reason = PEERS[name].missing if name in PEERS else _our_reason(name)
        if reason:
            print(f"skipped {name}: {reason}", file=sys.stderr)
        else:
            kept.append(name)
    return sorted(kept, key=lambda name: name in PEERS)


def _our_reason(name: str) -> str:
    import narrows

    known = getattr(narrows, "list_codecs", None)
    if known is None:
        return "this narrows has no codecs"
    plain = name.partition(":")[0]
    listed = [getattr(entry, "name", entry) for entry in known()]
    return "" if plain in listed else f"not a peer and not a codec of ours ({', '.join(map(str, listed))})"


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text} ...", end="", file=sys.stderr, flush=True)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)


if __name__ == "__main__":
    raise SystemExit(main())
