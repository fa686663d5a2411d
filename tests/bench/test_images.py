import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "pictures"
    folder.mkdir()
    y, x = np.mgrid[0:168, 0:176]
    for name, period in (("fine", 9), ("coarse", 40)):
        waves = np.stack([np.sin((x + c * y) / period) for c in range(3)], axis=-1)
        noisy = 128 + 90 * waves + rng.normal(0, 6, waves.shape)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def bench(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "images.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not features.check("webp"), reason="this Pillow has no WebP")
def test_tables_rows_and_kept_peers(pictures, tmp_path):
    cache, report = tmp_path / "kept.csv", tmp_path / "report.json"
    arguments = (pictures, "--codecs", "jpeg420,webp_m6,png_opt", "--cache", cache, "--json", report)
    first = bench(*arguments)
    assert first.returncode == 0, first.stderr
    assert "pictures, lossy, 2 pictures" in first.stdout
    assert "| WebP m6" in first.stdout
    assert "all" in first.stdout.split("PNG (optimize)")[1]
    rows = json.loads(report.read_text())["rows"]
    assert len(rows) == 2 * (8 + 8 + 1)
    again = bench(*arguments)
    assert again.stdout == first.stdout, "a second run takes every row, times included, from the kept file"


def test_what_cannot_run_is_skipped_with_a_reason(pictures, tmp_path):
    result = bench(pictures, "--codecs", "jpeg420,nothing", "--lossy", "--cache", tmp_path / "kept.csv")
    assert result.returncode == 0
    assert "skipped nothing: not a peer and not a codec of ours" in result.stderr


def test_a_folder_without_pictures_is_one_line(tmp_path):
    result = bench(tmp_path, "--codecs", "jpeg420")
    assert result.returncode != 0
    assert "neither a folder with pictures nor one of" in result.stderr
    assert "Traceback" not in result.stderr


def test_curves_that_do_not_meet_are_not_shown_as_equal(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import rows as rows_module
    import tables

    def curve(codec, floor):
        row = rows_module.Row(codec, "", "a", "", 0, 100, 1.0, floor, 0.9, 1.0, 1.0)
        points = ((i, 100 * 2**i) for i in range(4))
        return [
            rows_module.Row(**{**vars(row), "setting": i, "bytes": n, "psnr_rgb": floor + i})
            for i, n in points
        ]

    text, _ = tables.lossy({"webp_m6": curve("webp_m6", 30), "jpeg420": curve("jpeg420", 50)})
    jpeg = next(line for line in text.splitlines() if line.startswith("| JPEG 4:2:0"))
    assert jpeg.split("|")[3].strip() == "n/a"
