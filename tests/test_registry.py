"""Names, options and listings."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pytest

import narrows
from narrows import registry
from narrows.errors import MissingExtra


@dataclass(frozen=True)
class Options:
    quality: float | None = None
    bpp: float | None = None
    lossless: bool = False
    effort: int = 5
    tune: str = "psnr"


class Codec:
    name, version, signal, options, traits = "stub", 3, narrows.Blob, Options, frozenset({"lossless"})


class Lacking:
    def __init__(self) -> None:
        raise MissingExtra("this codec", "neural")


@pytest.fixture
def _stub(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "_load", lambda target: {"x:Codec": Codec, "x:Lacking": Lacking}[target]())
    monkeypatch.setattr(registry, "CODECS", {"stub": "x:Codec", "lacking": "x:Lacking", "gone": "x:Gone"})
    monkeypatch.setattr(registry, "_instances", {})


@pytest.mark.usefixtures("_stub")
def test_strings_become_what_the_fields_are() -> None:
    codec = registry.codec("stub")
    _, values = registry.parse("stub:quality=60,effort=7,tune=ms-ssim")
    assert registry.make_options(codec, values) == Options(quality=60.0, effort=7, tune="ms-ssim")
    assert registry.make_options(codec, {"lossless": "true"}).lossless is True
    assert registry.make_options(codec, {"quality": "none"}).quality is None
    assert type(registry.make_options(codec, {"quality": 60}).quality) is float


@pytest.mark.usefixtures("_stub")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"zoom": "1"}, "no option zoom; it knows: quality, bpp, lossless, effort, tune"),
        ({"effort": "much"}, "effort must be a whole number, not 'much'"),
        ({"lossless": "perhaps"}, "lossless must be true or false"),
        ({"quality": "60", "bpp": "1"}, "quality and bpp are two choices"),
        ({"quality": 60, "lossless": True}, "quality and lossless are two choices"),
    ],
)
def test_wrong_options_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(narrows.OptionError, match=words):
        registry.make_options(registry.codec("stub"), values)


@pytest.mark.usefixtures("_stub")
def test_a_rate_that_is_switched_off_is_no_second_choice() -> None:
    options = registry.make_options(registry.codec("stub"), {"quality": 60, "lossless": False})
    assert options == Options(quality=60.0)


@pytest.mark.parametrize("spec", ["wave:=3", "wave:a b=3", "wave:quality=1,quality=2", "wave:,"])
def test_malformed_specs_are_refused(spec: str) -> None:
    with pytest.raises(narrows.OptionError):
        registry.parse(spec)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(narrows.OptionError, match=r"'wavv'; known: .*bytes"):
        narrows.codec("wavv")


@pytest.mark.usefixtures("_stub")
def test_a_listing_shows_what_cannot_be_imported_and_why() -> None:
    gone, lacking, stub = registry.list_codecs()
    assert (stub.name, stub.version, stub.signal, stub.problem) == ("stub", 3, "Blob", None)
    assert stub.options["effort"] == 5
    assert lacking.problem
    assert lacking.hint == "pip install 'narrows[neural]'"
    assert gone.problem == "KeyError: 'x:Gone'"


@pytest.mark.usefixtures("_stub")
def test_other_packages_add_names_but_replace_none(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [metadata.EntryPoint("theirs", "x:Codec", "narrows.codecs")]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == "narrows.codecs" else [])
    assert registry.codec("theirs").version == 3
    points.append(metadata.EntryPoint("stub", "y:Other", "narrows.codecs"))
    with pytest.raises(ValueError, match="two codecs are named stub"):
        registry.list_codecs()


def test_one_instance_a_name() -> None:
    assert registry.codec("bytes") is registry.codec("bytes")
