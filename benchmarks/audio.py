"""Compare `speech` and `music` with other sound codecs, live: real packet bytes, one thread.

    python benchmarks/audio.py speech
    python benchmarks/audio.py music --codecs opus_audio,aac --visqol
    python benchmarks/audio.py speech --causal --codecs opus_cvbr,opus_cbr
    python benchmarks/audio.py speech --loss 0.05,0.1,0.2 --burst 2 --redundancy 1
    python benchmarks/audio.py speech --reference audio_peers.csv      how near to rows of another run

Each peer is asked for the bitrate at which its packets average the nominal rate. Ours is coded once for
every peer, clip and rate, at the highest fixed quality whose payload stays within the peer's bytes of that
clip: the tables then show means, and differences paired by clip with 95 % bootstrap-t intervals. With
--causal ours keeps the nominal rate by itself instead, as a live session must, in packets of equal bytes
where the peer's are. Peers' rows are kept in runs/audio_peers.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import audio_ours
import numpy as np
from audio_peers import PEERS, Coded
from audio_rows import Clip, Row, Store, clips, measure, write_csv
from libopus import Opus
from tables import table as markdown

from narrows.eval.curves import bootstrap_t
from narrows.streaming.channel import GilbertElliott

METRICS = {
    "pesq_wb": ("PESQ-WB", 2), "stoi": ("STOI", 3), "estoi": ("ESTOI", 3), "lmd_db": ("LMD dB", 2),
    "si_sdr_db": ("SI-SDR dB", 1), "visqol": ("ViSQOL", 2),
}  # fmt: skip
_OURS = {"speech": "speech", "music": "music"}
_LOSS_KBPS = 12
_REPEATED = ", packets repeated"


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    sounds = clips(options.set, options.clips or (), speech_hz=options.speech_hz)
    kind = options.set if options.set in _OURS else "speech"
    store = Store(None if options.fresh else options.cache)
    ours = options.ours or _OURS[kind]
    reason = audio_ours.missing(ours.partition(":")[0]) if ours != "none" else "not asked for"
    if reason and ours != "none":
        print(f"skipped {ours}: {reason}", file=sys.stderr)
    if options.loss:
        print(_loss_table(kind, sounds, "" if reason else ours, options))
        return 0
    rows: list[Row] = []
    for name in options.codecs or PEERS:
        peer = PEERS[name]
        for kbps in peer.nominal_kbps.get(kind, ()):
            if options.kbps and kbps not in options.kbps:
                continue
            if peer.missing:
                print(f"skipped {name}: {peer.missing}", file=sys.stderr)
                break
            _progress(f"{name} {kbps:g}")
            theirs = store.peer(name, kind, kbps, sounds, with_visqol=options.visqol)
            rows += theirs
            if not reason:
                _progress(f"{ours} beside {name} {kbps:g}")
                rows += _paired(kind, ours, kbps, sounds, theirs, options)
    _progress("")
    print(_means(rows, kind))
    if not reason:
        print(_differences(rows, ours))
    if options.reference:
        print(_compared(rows, options.reference))
    if options.csv:
        write_csv(options.csv, rows)
    if options.json:
        content = {"schema": "narrows.bench.audio/1", "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"Peers: {', '.join(PEERS)}."
    )

    def numbers(text: str) -> list[float]:
        return [float(part) for part in text.split(",")]

    parser.add_argument("set", help="speech or music (under NARROWS_DATA), or a folder")
    parser.add_argument("--codecs", type=lambda s: s.split(","), metavar="A,B", help="peers; all by default")
    parser.add_argument("--ours", metavar="NAME[:OPT=VAL,...]", help="our codec, or none; default by the set")
    parser.add_argument("--kbps", type=numbers, metavar="X,Y", help="only these nominal rates")
    parser.add_argument("--clips", type=lambda s: s.split(","), metavar="A,B", help="only clips so called")
    parser.add_argument("--speech-hz", type=int, default=16_000, metavar="HZ", help="rate of speech")
    parser.add_argument("--visqol", action="store_true", help="ViSQOL too (2 s of CPU per clip)")
    parser.add_argument("--causal", action="store_true", help="ours keeps the nominal rate by itself")
    parser.add_argument("--loss", type=numbers, metavar="P,Q", help="instead: packet loss, beside Opus")
    parser.add_argument("--burst", type=float, metavar="N", help="mean burst; default independent losses")
    parser.add_argument(
        "--redundancy", type=int, default=0, metavar="N", help="copies too, beside Opus with in-band FEC"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the loss patterns")
    parser.add_argument(
        "--reference", type=Path, metavar="CSV", help="compare peers' rows with another run's"
    )
    parser.add_argument("--csv", type=Path, help="write every row")
    parser.add_argument("--json", type=Path, help="write every row")
    parser.add_argument("--cache", type=Path, default=Path("runs/audio_peers.csv"), help="rows of peers")
    parser.add_argument("--fresh", action="store_true", help="measure peers again, keep nothing")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.codecs or () if name not in PEERS]
    if unknown:
        parser.error(f"no peer {', '.join(unknown)}; known: {', '.join(PEERS)}")
    return options


def _paired(
    kind: str, ours: str, kbps: float, sounds: list[Clip], theirs: list[Row], options: argparse.Namespace
) -> list[Row]:
    """Our rows at each clip's bytes of a peer, or at the rate that a session keeps; named `ours @ peer`."""
    rows = []
    for clip, row in zip(sounds, theirs, strict=True):
        if options.causal:
            kept = {"kbps": kbps, "constant": PEERS[row.codec].constant}
            session = audio_ours.encode(ours, clip.samples, clip.sample_rate_hz, **kept)
        else:
            session, _ = audio_ours.encode_within(ours, clip.samples, clip.sample_rate_hz, row.payload_bytes)
        coded = audio_ours.decode(session, len(clip.samples))
        rows.append(
            measure(
                kind, f"{ours} @ {row.codec}", kbps, clip, coded,
                version=audio_ours.version(), with_visqol=options.visqol,
            )
        )  # fmt: skip
    return rows


def _means(rows: Sequence[Row], kind: str) -> str:
    """Means over clips, a line for each codec and nominal rate."""
    shown = [m for m in METRICS if any(math.isfinite(getattr(row, m)) for row in rows)]
    body = []
    for group in _groups(rows):
        cells = [group[0].codec, f"{group[0].nominal_kbps:g}", f"{_mean(group, 'payload_kbps'):.2f}"]
        cells += [f"{_mean(group, m):.{METRICS[m][1]}f}" for m in shown]
        seconds = [8e-3 * row.payload_bytes / row.payload_kbps for row in group]
        for name in ("encode_cpu_s", "decode_cpu_s"):
            cells.append(f"{sum(getattr(row, name) for row in group) / sum(seconds):.4f}")
        body.append(cells)
    head = ["codec", "nominal", "kbit/s", *(METRICS[m][0] for m in shown), "encode x", "decode x"]
    clips_shown = len({row.clip for row in rows})
    return f"\n## {kind}, means of {clips_shown} clips\n\n" + "\n".join(markdown(head, body))


def _differences(rows: Sequence[Row], ours: str) -> str:
    """Ours minus each peer, with intervals."""
    shown = [m for m in METRICS if any(math.isfinite(getattr(row, m)) for row in rows)]
    groups = {(group[0].codec, group[0].nominal_kbps): group for group in _groups(rows)}
    body = []
    for (codec, kbps), group in groups.items():
        mine = groups.get((f"{ours} @ {codec}", kbps))
        if mine is None:
            continue
        spent = [a.payload_bytes / b.payload_bytes - 1 for a, b in zip(mine, group, strict=True)]
        cells = [codec, f"{kbps:g}", f"{100 * min(spent):+.2f} .. {100 * max(spent):+.2f}"]
        for m in shown:
            pairs = [(getattr(a, m), getattr(b, m)) for a, b in zip(mine, group, strict=True)]
            cells.append(interval([a - b for a, b in pairs], METRICS[m][1]))
        body.append(cells)
    head = [f"{ours} minus", "nominal", "bytes %", *(METRICS[m][0] for m in shown)]
    return "\n## differences paired by clip, 95 %\n\n" + "\n".join(markdown(head, body))


def interval(values: Iterable[float], digits: int) -> str:
    """`+.35 [+.18 +.55]`: mean and bootstrap-t interval; empty where nothing is finite."""
    finite = np.array([v for v in values if math.isfinite(v)])
    if not finite.size:
        return ""
    low, high = bootstrap_t(finite)
    mean = f"{finite.mean():+.{digits}f}"
    return mean if math.isnan(low) else f"{mean} [{low:+.{digits}f} {high:+.{digits}f}]"


def _compared(rows: Sequence[Row], reference: Path) -> str:
    """Mean and largest differences to the rows of another run: a CSV with set, file, codec, nominal_kbps."""
    with reference.open(newline="", encoding="utf-8") as file:
        known = {
            (line["set"].removesuffix("_eval"), Path(line["file"]).stem, _renamed(line["codec"]),
             float(line["nominal_kbps"])): line
            for line in csv.DictReader(file)
        }  # fmt: skip
    columns = {"payload_kbps": "payload_kbps", "pesq_wb": "pesq_wb", "stoi": "stoi", "lmd_db": "lmd_db",
               "si_sdr_db": "si_sdr_db"}  # fmt: skip
    body = []
    for group in _groups(rows):
        pairs = [
            (row, known[key])
            for row in group
            if (key := (row.set, row.clip, row.codec, row.nominal_kbps)) in known
        ]
        if not pairs:
            continue
        cells = [group[0].codec, f"{group[0].nominal_kbps:g}", str(len(pairs))]
        for ours, theirs in columns.items():
            found = [getattr(row, ours) - float(line[theirs] or "nan") for row, line in pairs]
            finite = [v for v in found if math.isfinite(v)]
            cells.append(f"{np.mean(finite):+.3f} ({np.max(np.abs(finite)):.3f})" if finite else "")
        body.append(cells)
    head = ["codec", "nominal", "clips", *columns]
    return f"\n## minus {reference.name}: mean (largest)\n\n" + "\n".join(markdown(head, body))


def _renamed(codec: str) -> str:
    return {"aac_lc": "aac"}.get(codec, codec)


def _loss_table(kind: str, sounds: list[Clip], ours: str, options: argparse.Namespace) -> str:
    """PESQ and STOI under loss, ours and Opus with its own concealment, the same packets lost in both; and
    ours where a lost packet is the last one once more.

    With redundancy also both sides' repair, copies and in-band FEC, all of it within the same bytes.
    """
    opus = Opus()
    nominal = options.kbps[0] if options.kbps else _LOSS_KBPS
    found: dict[tuple[float, str], list[Row]] = {}
    store = Store(None if options.fresh else options.cache)
    theirs = store.peer("opus_lib", kind, nominal, sounds)
    for number, (clip, row) in enumerate(zip(sounds, theirs, strict=True)):
        _progress(f"loss: {clip.name}")
        rate = clip.sample_rate_hz
        packets = opus.encode(clip.samples, rate, row.target_bps)
        sessions = {}
        for name, copies in ((ours, 0), (f"{ours} + {options.redundancy} copies", options.redundancy)):
            if ours and (name == ours or copies):
                sessions[name] = audio_ours.encode_within(
                    ours, clip.samples, rate, row.payload_bytes, redundancy=copies
                )[0]
        for loss in [0.0, *options.loss]:
            pattern = GilbertElliott(loss, options.burst, seed=options.seed + number)
            lost = pattern.pattern(len(packets) + 2)
            kept = [None if gone else packet for packet, gone in zip(packets, lost, strict=False)]
            samples = opus.decode(kept, rate, len(clip.samples))
            coded = {"Opus": Coded(packets, samples, 0, 0)}
            if options.redundancy and loss:
                coded["Opus + FEC"] = _with_fec(opus, clip, row, loss, lost)
            for name, session in sessions.items():
                coded[name] = audio_ours.decode(session, len(clip.samples), lost)
            if ours and loss:
                plain = audio_ours.decode(sessions[ours], len(clip.samples), lost, repeat=True)
                coded[f"{ours}{_REPEATED}"] = plain
            for name, one in coded.items():
                delay = row.delay_samples if name.startswith("Opus") else 0
                found.setdefault((loss, name), []).append(
                    measure(kind, name, nominal, clip, one, delay_samples=delay)
                )
    _progress("")
    body = []
    for (loss, name), rows in found.items():
        cells = [f"{100 * loss:g} %", name, f"{_mean(rows, 'payload_kbps'):.2f}"]
        for m in ("pesq_wb", "stoi", "lmd_db"):
            cells.append(f"{_mean(rows, m):.{METRICS[m][1]}f}")
            if name != "Opus":
                pairs = zip(rows, found[loss, "Opus"], strict=True)
                cells[-1] += "  " + interval([getattr(a, m) - getattr(b, m) for a, b in pairs], METRICS[m][1])
        body.append(cells)
    gains = []
    for loss in options.loss if ours else ():
        pairs = list(zip(found[loss, ours], found[loss, ours + _REPEATED], strict=True))
        cells = [
            interval([getattr(a, m) - getattr(b, m) for a, b in pairs], METRICS[m][1])
            for m in ("pesq_wb", "stoi", "lmd_db")
        ]
        gains.append([f"{100 * loss:g} %", *cells])
    burst = f"mean burst {options.burst:g}" if options.burst else "independent"
    title = f"\n## {kind}, {nominal:g} kbit/s, {burst} losses, seed {options.seed}, {opus.version}\n\n"
    shown = markdown(["loss", "codec", "kbit/s", "PESQ-WB", "STOI", "LMD dB"], body)
    if gains:
        shown += ["", "### concealment minus repetition, paired, 95 %", ""]
        shown += markdown(["loss", "PESQ-WB", "STOI", "LMD dB"], gains)
    return title + "\n".join(shown)


def _with_fec(opus: Opus, clip: Clip, row: Row, loss: float, lost: Sequence[bool]) -> Coded:
    """Opus that expects `loss` and repairs from the next packet, at no more bytes than the row's."""
    asked = row.target_bps
    for _ in range(3):
        packets = opus.encode(
            clip.samples, clip.sample_rate_hz, asked, expected_loss_percent=round(100 * loss)
        )
        asked = round(asked * row.payload_bytes / sum(map(len, packets)))
    kept = [None if gone else packet for packet, gone in zip(packets, lost, strict=False)]
    samples = opus.decode(kept, clip.sample_rate_hz, len(clip.samples), fec=True)
    return Coded(packets, samples, 0, 0)


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one codec and nominal rate together, rates in order."""
    found: dict[tuple[float, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.nominal_kbps, row.codec), []).append(row)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def _mean(rows: Sequence[Row], name: str) -> float:
    values = [getattr(row, name) for row in rows]
    finite = [v for v in values if math.isfinite(v)]
    return float(np.mean(finite)) if finite else float("nan")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text} ...", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
