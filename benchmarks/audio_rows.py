"""Measure one sound codec on one clip at one rate; keep the peers' rows so that they are measured once.

from audio_rows import Store, clips, measure
speech = clips("speech")                                  # of NARROWS_DATA, at 16 kHz
rows = Store(Path("runs/audio_peers.csv")).peer("opus_audio", "speech", 6, speech)
rows[0].payload_bytes                                     # what ours may spend on that clip
ours = measure("speech", "narrows", 6, clip, coded, delay_samples=0)
"""

from __future__ import annotations

import csv
import importlib
import os
import statistics
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from audio_peers import MAX_DELAY_S, PEERS, Coded, Peer, Samples, aligned

from narrows.eval.metrics import audio as metrics

SPEECH_RATE_HZ = 16_000
MATCHING_STEPS = 2
MATCHING_SHARE = 3
_FOLDERS = {"speech": "speech_eval", "music": "music_eval"}


@dataclass(frozen=True)
class Clip:
    """A sound: float32 [time, channels]."""

    name: str
    samples: Samples
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate_hz

    @property
    def digest(self) -> str:
        """Name of the content, so that a kept row is never taken for another clip's."""
        return f"{zlib.crc32(np.ascontiguousarray(self.samples).tobytes()):08x}-{len(self.samples)}"


@dataclass(frozen=True)
class Row:
    """One clip coded and decoded. nan: not measured on this set, or a package is missing."""

    set: str
    codec: str
    version: str
    clip: str
    digest: str
    nominal_kbps: float
    target_bps: int
    payload_bytes: int
    num_packets: int
    payload_kbps: float
    delay_samples: int
    pesq_wb: float
    stoi: float
    estoi: float
    lmd_db: float
    si_sdr_db: float
    visqol: float
    encode_cpu_s: float
    decode_cpu_s: float

    @property
    def key(self) -> tuple[object, ...]:
        return self.set, self.codec, self.version, self.digest, self.nominal_kbps


def clips(name: str, only: Iterable[str] = (), *, speech_hz: int = SPEECH_RATE_HZ) -> list[Clip]:
    """The clips of `speech` (resampled to `speech_hz`) or `music` under NARROWS_DATA, or of a folder.

    `only` keeps the clips whose names begin with one of its entries. SystemExit where there is nothing.
    """
    soundfile = importlib.import_module("soundfile")
    folder = _data() / _FOLDERS[name] if name in _FOLDERS else Path(name)
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".flac", ".wav", ".ogg"))
    if not paths:
        raise SystemExit(f"{name}: neither speech, music nor a folder with sounds")
    found = []
    for path in paths:
        if tuple(only) and not path.name.startswith(tuple(only)):
            continue
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if name == "speech" and rate != speech_hz:
            samples, rate = metrics.resample(samples, rate, speech_hz).astype(np.float32), speech_hz
        found.append(Clip(path.stem, samples, rate))
    return found


def measure(
    set_name: str,
    codec: str,
    nominal_kbps: float,
    clip: Clip,
    coded: Coded,
    *,
    delay_samples: int = 0,
    version: str = "",
    target_bps: int = 0,
    with_visqol: bool = False,
) -> Row:
    """The row of a clip that was coded already. PESQ and STOI for speech only."""
    decoded = aligned(coded, delay_samples, len(clip.samples))
    original, rate = clip.samples, clip.sample_rate_hz
    payload_bytes = sum(map(len, coded.packets))
    speech = set_name != "music"
    nan = float("nan")
    return Row(
        set=set_name,
        codec=codec,
        version=version,
        clip=clip.name,
        digest=clip.digest,
        nominal_kbps=nominal_kbps,
        target_bps=target_bps,
        payload_bytes=payload_bytes,
        num_packets=len(coded.packets),
        payload_kbps=8e-3 * payload_bytes / clip.seconds,
        delay_samples=delay_samples,
        pesq_wb=metrics.pesq_wb(original, decoded, rate) if speech else nan,
        stoi=metrics.stoi(original, decoded, rate) if speech else nan,
        estoi=metrics.estoi(original, decoded, rate) if speech else nan,
        lmd_db=metrics.log_mel_distance(original, decoded, rate),
        si_sdr_db=metrics.si_sdr(original, decoded),
        visqol=metrics.visqol(original, decoded, rate) if with_visqol else nan,
        encode_cpu_s=coded.encode_cpu_s,
        decode_cpu_s=coded.decode_cpu_s,
    )


class Store:
    """Rows of peers in a CSV file, keyed by set, codec, library version, clip content and nominal rate."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows = {row.key: row for row in read_csv(path)} if path and path.exists() else {}

    def peer(
        self, name: str, set_name: str, nominal_kbps: float, clips: list[Clip], *, with_visqol: bool = False
    ) -> list[Row]:
        """Rows of a peer on every clip, in the clips' order, measured unless all of them are kept."""
        peer = PEERS[name]
        keys = [(set_name, name, peer.version, clip.digest, nominal_kbps) for clip in clips]
        kept = [self.rows[key] for key in keys if key in self.rows]
        if len(kept) == len(clips) and not (with_visqol and any(np.isnan(row.visqol) for row in kept)):
            return kept
        found = _measure_peer(peer, set_name, nominal_kbps, clips, with_visqol)
        self.rows.update((row.key, row) for row in found)
        self._save()
        return found

    def _save(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            write_csv(part, self.rows.values())
            part.replace(self.path)


def match_bitrate(peer: Peer, nominal_kbps: float, clips: list[Clip]) -> int:
    """The bitrate to ask for, so that packet bytes alone average `nominal_kbps`: secant steps on a third of
    the clips, or on all of a small set, whose thirds differ too much.

    Asking a variable-rate codec for its nominal rate gives 3 to 12 % less, and comparing by the asked rate
    would then hand the other side that much.
    """
    target = 1000 * nominal_kbps
    asked = target
    tried = clips if len(clips) < 2 * MATCHING_SHARE * MATCHING_SHARE else clips[::MATCHING_SHARE]
    if not peer.constant:
        points: list[tuple[float, float]] = []
        for _ in range(MATCHING_STEPS):
            points.append((asked, _mean_bitrate(peer, round(asked), tried)))
            if len(points) == 1:
                asked *= target / points[0][1]
                continue
            (x0, y0), (x1, y1) = points[-2:]
            asked = x1 + (target - y1) * (x1 - x0) / (y1 - y0) if y1 != y0 else x1
    return round(asked)


def _mean_bitrate(peer: Peer, bitrate: int, clips: list[Clip]) -> float:
    rates = []
    for clip in clips:
        coded = peer.code(clip.samples, clip.sample_rate_hz, bitrate)
        rates.append(8 * sum(map(len, coded.packets)) / clip.seconds)
    return statistics.fmean(rates)


def _measure_peer(
    peer: Peer, set_name: str, nominal_kbps: float, clips: list[Clip], with_visqol: bool
) -> list[Row]:
    """Code all clips first: the codec's delay is the median over them, so that no clip picks its own."""
    bitrate = match_bitrate(peer, nominal_kbps, clips)
    coded = [peer.code(clip.samples, clip.sample_rate_hz, bitrate) for clip in clips]
    delays = {}
    for rate in {clip.sample_rate_hz for clip in clips}:
        found = [
            metrics.delay_samples(clip.samples, one.samples, int(MAX_DELAY_S * rate))
            for clip, one in zip(clips, coded, strict=True)
            if clip.sample_rate_hz == rate
        ]
        delays[rate] = int(statistics.median_low(found))
    return [
        measure(
            set_name,
            peer.name,
            nominal_kbps,
            clip,
            one,
            delay_samples=delays[clip.sample_rate_hz],
            version=peer.version,
            target_bps=bitrate,
            with_visqol=with_visqol,
        )
        for clip, one in zip(clips, coded, strict=True)
    ]


def read_csv(path: Path) -> list[Row]:
    kinds = {field.name: {"str": str, "int": int, "float": float}[str(field.type)] for field in fields(Row)}
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**{k: kinds[k](v) for k, v in line.items()}) for line in csv.DictReader(file)]


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _data() -> Path:
    value = os.environ.get("NARROWS_DATA")
    if not value or not Path(value).is_dir():
        raise SystemExit("set NARROWS_DATA to the folder of test and training data")
    return Path(value)
