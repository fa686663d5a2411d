"""Streams that earlier versions wrote decode to what they decoded to then, on every instruction set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import narrows
from narrows import _core, registry
from narrows.contracts import dims_of
from narrows.stream import check_digest

FOLDER = Path(__file__).parent / "v1" / "codecs"
STREAMS = sorted(FOLDER.glob("*.nrws"))


@pytest.fixture
def _isa() -> Iterator[None]:
    before = _core.isa()
    yield
    _core.set_isa(before)


@pytest.mark.parametrize("name", sorted(registry.CODECS))
def test_every_codec_has_golden_streams_of_its_version(name: str) -> None:
    version, plain = registry.codec(name).version, name.replace("/", "-")
    assert len(list(FOLDER.glob(f"{plain}-{version}-*.nrws"))) >= 3, "make golden writes them"


@pytest.mark.usefixtures("_isa")
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_decodes_as_it_did(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    for isa in _core.available_isas():
        _core.set_isa(isa)
        decoded = narrows.decode(path.read_bytes())
        assert list(dims_of(decoded)) == expected["dims"]
        assert check_digest(decoded).hex() == expected["crc32c"]
