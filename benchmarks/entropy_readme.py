"""The README's part on the entropy coder, written from measured rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entropy_plot import ISAS, Row

BEGIN, END = "<!-- entropy figures: begin -->", "<!-- entropy figures: end -->"


def write(rows: list[Row], path: Path) -> None:
    """Put the figures of `rows` between the two marks of a README."""
    text = path.read_text()
    head, rest = text.split(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{figures(rows)}\n{END}{rest.split(END)[1]}")


def figures(rows: list[Row]) -> str:
    """Return Markdown: what was measured on, a table, the figure."""
    machine: Row = next(row for row in rows if row["case"] == "machine")
    isa = str(machine["isa"])

    def find(case: str, coder: str = "", setting: str = "", of: str | None = None) -> list[Row]:
        return [
            row
            for row in rows
            if row["case"] == case
            and row.get("coder", "").startswith(coder)
            and row.get("setting", "").startswith(setting)
            and (of is None or row.get("isa") == of)
            and "note" not in row
        ]

    def pair(row: Row, key: str, form: str = ".1f") -> str:
        return " / ".join(format(row[f"{d}_{key}"], form) for d in ("encode", "decode"))

    def least(case: str, coder: str) -> str:
        """Ratios of a peer's best setting each way."""
        found = [row for row in find(case) if row.get("coder") == coder]
        best = [min(row[f"{d}_over_ours"] for row in found) for d in ("encode", "decode")]
        return " / ".join(f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" for ratio in best)

    table: list[tuple[str, str]] = []
    for case, name, bits in (
        ("w1", "W1: 64 Gaussians, 4.6 bit a symbol", "15 bit"),
        ("w2", "W2: the same tables, mostly narrow, .75 bit", "15 bit"),
        ("w3", "W3: 16 tables of 8 symbols, 12-bit tables", "12 bit"),
        ("w4", "W4: bytes, 5.6 bit, 12-bit tables", "12 bit"),
    ):
        own, plain = (find(case, "narrows", bits, of)[0] for of in (isa, "scalar"))
        table.append((name, f"{pair(own, 'ns')} ns; portable C++ {pair(plain, 'ns')} ns"))
    for coder, name in (
        ("compressai", "times less than CompressAI's `EntropyModel`"),
        ("compressai, C++ core", "times less than its C++ core, Python's lists left out"),
        ("torch_ans", "times less than torch_ans, its best mode each way"),
    ):
        table.append((name, f"W1 {least('w1', coder)}; W2 {least('w2', coder)}"))
    over = [find(case, "narrows", "15 bit")[0]["over_exact_percent"] for case in ("w1", "w2")]
    size = find("w5-500", "narrows", "check=False")[0]["bytes"]
    table.append(
        (
            "bytes over the exact Gaussian entropy, everything counted",
            f"W1 {over[0]:+.3f} %; W2 {over[1]:+.3f} %; {size} bytes for 500 symbols of W2, unchecked",
        )
    )
    call, theirs = find("w5-1", "narrows", "default")[0], find("w5-1", "compressai", "EntropyModel")
    against = f"; `EntropyModel` {pair(theirs[0], 'us', ',.0f')} us" if theirs else ""
    table.append(("a call of one symbol", f"{pair(call, 'us')} us{against}"))
    exact = [find("compressai", "narrows", f"{case} byte-exact") for case in ("w1", "w2")]
    equal: Any = find("compressai", "narrows", "random cases")
    if all(exact) and equal:
        ratios = "; ".join(f"{w} {pair(e[0], 'of_theirs')}" for w, e in zip(("W1", "W2"), exact, strict=True))
        same = f"{equal[0]['equal']:,} of {equal[0]['cases']:,} random strings equal"
        table.append(("CompressAI's own strings, times less than `EntropyModel`", f"{ratios}; {same}"))
    table.append(("range coder, an adaptive bit", f"{pair(find('range', setting='two-rate')[0], 'ns')} ns"))
    pair_of_threads = find("threads", "narrows", "2 threads")
    if pair_of_threads:
        speedup = pair(pair_of_threads[0], "speedup", ".2f")
        table.append(("two threads, wall time", f"{speedup} times as fast as one"))
    loop = find("autoregressive", "narrows")
    if loop:
        speed = " / ".join(f"{1e3 / loop[0][f'{d}_ns']:.1f}" for d in ("encode", "decode"))
        table.append(
            (f"autoregressive loop, a {loop[0]['setting']} a symbol", f"{speed} million symbols a second")
        )
    absent = [name for key, name in ISAS.items() if key == "avx512" and key not in str(machine["isas"])]
    absent += ["CUDA"] if not find("cuda") else []
    lines = [
        f"{machine['cpu']}, {ISAS[isa]}, one thread: CPU time of calls from Python, encode / decode,",
        f"{machine['symbols']:,} symbols, medians of {machine['rounds']} rounds, all coders in turn, load",
        f"{machine['load']:.0f}, which inflates times more than ratios. `python benchmarks/entropy.py`",
        "measures all of it and prints every target beside what was reached.",
        "",
        "| what | figure |",
        "| --- | --- |",
        *(f"| {what} | {figure} |" for what, figure in table),
        "",
        *([f"Not measured: {' and '.join(absent)}, which this machine lacks.", ""] if absent else []),
        "![Nanoseconds a symbol of each coder](docs/figures/entropy.svg)",
    ]
    return "\n".join(lines)
