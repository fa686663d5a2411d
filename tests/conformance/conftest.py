"""The codecs that the laws run over: all of the registry, and two toys that exist only here."""

from __future__ import annotations

from typing import Any

import pytest
from conformance.cases import signals_for
from conformance.streams import TOYS

from narrows import registry
from narrows.errors import MissingExtra

NAMES = [*sorted(registry.CODECS), *TOYS]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, target in TOYS.items():
        monkeypatch.setitem(registry.CODECS, name, target)
    yield
    for name in TOYS:
        registry._instances.pop(f"codec:{name}", None)


@pytest.fixture
def codec(request: pytest.FixtureRequest) -> Any:
    try:
        return registry.codec(request.param)
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.fixture
def codec_name(codec: Any) -> str:
    return str(codec.name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every codec, and for tests that take `case` too every case of its type."""
    if "case" not in metafunc.fixturenames:
        if "codec" in metafunc.fixturenames:
            metafunc.parametrize("codec", NAMES, indirect=True)
        return
    pairs = []
    for name in NAMES:
        try:
            kind = registry._load({**registry.CODECS, **TOYS}[name]).signal
        except MissingExtra:
            continue
        pairs += [pytest.param(name, case, id=f"{name}-{case}") for case in signals_for(kind)]
    metafunc.parametrize(("codec", "case"), pairs, indirect=["codec"])
