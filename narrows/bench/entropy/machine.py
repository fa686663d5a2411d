"""What the figures were measured on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import narrows
from narrows import _core
from narrows.bench.entropy import peers
from narrows.bench.entropy.rows import Row, Settings


def row(settings: Settings) -> Row:
    """Return processor, instruction sets, load, versions, date."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "case": "machine",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "isa": _core.isa(),
        "isas": " ".join(_core.available_isas()),
        "load": round(load, 2),
        "python": platform.python_version(),
        "rounds": settings.rounds,
        "symbols": settings.symbols,
        "versions": {"narrows": narrows.__version__, **peers.versions()},
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if info.exists():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    family, model = fields.get("cpu family"), fields.get("model")
    return f"{name} (family {family} model {model})" if family and model else name
