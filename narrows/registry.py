"""Names to codecs and tokenizers, imported when asked for; `name:option=value,...` to options.

A new codec is one file in narrows/codecs and one line here, or an entry point of group `narrows.codecs` in
another package. Names of this table cannot be replaced, and two packages with one name are an error.
"""

from __future__ import annotations

import dataclasses
import importlib
import threading
import types
import typing
from collections.abc import Mapping
from typing import Any

from narrows.contracts import Codec, Tokenizer
from narrows.errors import MissingExtra, OptionError
from narrows.signals import Audio, Blob, Formulas, Image, Signal, Tokens, Vectors, Video

CODECS: dict[str, str] = {
    "bytes": "narrows.codecs.bytes:Bytes",
    "music": "narrows.codecs.audio:Music",
    "speech": "narrows.codecs.audio:Speech",
    "tokens/bsq": "narrows.codecs.tokens:bsq",
    "tokens/vae": "narrows.codecs.tokens:vae",
    "tokens/vq": "narrows.codecs.tokens:vq",
    "tokens/wae": "narrows.codecs.tokens:wae",
    "tokens/walloc": "narrows.codecs.tokens:walloc",
    "wave": "narrows.codecs.wave:Wave",
}
TOKENIZERS: dict[str, str] = {
    "bsq": "narrows.tokenizers.image:bsq",
    "vae": "narrows.tokenizers.image:vae",
    "vq": "narrows.tokenizers.image:vq",
    "wae": "narrows.tokenizers.image:wae",
    "walloc": "narrows.tokenizers.image:walloc",
}
# The codec that encodes a type of signal when none is named.
DEFAULTS: Mapping[type, str] = {
    Image: "wave",
    Blob: "bytes",
    Video: "clip",
    Vectors: "embedding",
    Formulas: "formula",
}
# Different words for one choice: how many bytes to spend. Giving two is an error.
RATE_OPTIONS = ("quality", "bpp", "kbps", "target_psnr", "lossless")

_instances: dict[str, Any] = {}
_lock = threading.RLock()


@dataclasses.dataclass(frozen=True)
class Listing:
    """One codec or tokenizer by name. Where it cannot be imported `problem` says why and `hint` what helps.

    >>> import narrows
    >>> [codec.signal for codec in narrows.list_codecs() if codec.name == "bytes"]
    ['Blob']
    """

    name: str
    source: str
    version: int = 0
    signal: str = ""
    traits: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    problem: str | None = None
    hint: str | None = None


def codec(name: str) -> Codec[Any]:
    """The codec of this name: one a process. OptionError, listing the known, if there is none."""
    return typing.cast("Codec[Any]", _get(name, "codec"))


def tokenizer(name: str) -> Tokenizer[Any]:
    """The tokenizer of this name: one a process. OptionError, listing the known, if there is none."""
    return typing.cast("Tokenizer[Any]", _get(name, "tokenizer"))


def default_codec(signal: Signal | type) -> str | None:
    """The name of the codec for a signal or a type of signal; None if none is registered."""
    if isinstance(signal, Audio):
        name = "speech" if signal.channels == 1 and signal.sample_rate_hz <= 24_000 else "music"
    elif signal is Audio:
        name = "speech"
    elif isinstance(signal, Tokens):
        name = "tokens"
    else:
        name = DEFAULTS.get(signal if isinstance(signal, type) else type(signal), "")
    return name if name in CODECS or name in _entry_points("codec") else None


def list_codecs() -> list[Listing]:
    """Every registered codec, also those that cannot be imported.

    >>> import narrows
    >>> all(codec.problem is None or codec.hint for codec in narrows.list_codecs())
    True
    """
    return _list("codec")


def list_tokenizers() -> list[Listing]:
    """Every registered tokenizer, also those that cannot be imported.

    >>> import narrows
    >>> isinstance(narrows.list_tokenizers(), list)
    True
    """
    return _list("tokenizer")


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """`name:option=value,option=value` as name and options; `option` alone means true.

    >>> from narrows import registry
    >>> registry.parse("wave:quality=60,lossless")
    ('wave', {'quality': '60', 'lossless': 'true'})
    """
    name, _, rest = spec.partition(":")
    options: dict[str, str] = {}
    for item in rest.split(",") if rest else ():
        key, equals, value = item.partition("=")
        if not key.isidentifier():
            raise OptionError(f"{item!r} in {spec!r} is not option=value")
        if key in options:
            raise OptionError(f"{key} is given twice in {spec!r}")
        options[key] = value if equals else "true"
    return name, options


def spell(name: str, options: Any) -> str:
    """The inverse of `parse`: the fields of `options` that differ from their defaults."""
    parts = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            parts.append(f"{field.name}={str(value).lower() if isinstance(value, bool) else value}")
    return name + (":" + ",".join(parts) if parts else "")


def make_options(codec: Codec[Any], values: Mapping[str, Any]) -> Any:
    """The option dataclass of `codec` from `values`; strings are converted to the fields' types.

    Raises OptionError for unknown names, values that cannot be converted or are out of range, and two rates.
    """
    kinds = typing.get_type_hints(codec.options)
    known = [field.name for field in dataclasses.fields(codec.options)]
    for name in values:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise OptionError(f"{codec.name} has no option {name}; it knows: {listed}")
    rates = [name for name in RATE_OPTIONS if values.get(name) not in (None, False, "false")]
    if len(rates) > 1:
        raise OptionError(f"{' and '.join(rates)} are two choices of one thing: give one")
    return codec.options(**{name: _convert(name, value, kinds[name]) for name, value in values.items()})


_WORDS = {float: "a number", int: "a whole number", bool: "true or false", type(None): "none"}
_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _convert(name: str, value: Any, kind: Any) -> Any:
    choices = (kind,) if not isinstance(kind, types.UnionType) else typing.get_args(kind)
    if not isinstance(value, str):
        return float(value) if float in choices and int not in choices and type(value) is int else value
    for choice in choices:
        if choice is type(None) and value == "none":
            return None
        if choice is bool and value in _BOOLS:
            return _BOOLS[value]
        if choice in (int, float):
            try:
                return choice(value)
            except ValueError:
                continue
        if choice is str:
            return value
    wanted = " or ".join(_WORDS.get(choice, "text") for choice in choices)
    raise OptionError(f"{name} must be {wanted}, not {value!r}")


def _table(kind: str) -> dict[str, str]:
    return CODECS if kind == "codec" else TOKENIZERS


def _entry_points(kind: str) -> dict[str, str]:
    """Names that other installed packages add. ValueError where two of them, or one and ours, are equal."""
    from importlib import metadata

    found: dict[str, str] = {}
    for point in metadata.entry_points(group=f"narrows.{kind}s"):
        other = _table(kind).get(point.name) or found.get(point.name)
        if other is not None and other != point.value:
            raise ValueError(f"two {kind}s are named {point.name}: {other} and {point.value}")
        found[point.name] = point.value
    return found


def _get(name: str, kind: str) -> Any:
    key = f"{kind}:{name}"
    if key in _instances:
        return _instances[key]
    target = _table(kind).get(name) or _entry_points(kind).get(name)
    if target is None:
        known = ", ".join(sorted({**_table(kind), **_entry_points(kind)})) or "none"
        raise OptionError(f"there is no {kind} named {name!r}; known: {known}")
    with _lock:
        if key not in _instances:
            _instances[key] = _load(target)
    return _instances[key]


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)()


def _list(kind: str) -> list[Listing]:
    listings = []
    for name, target in sorted({**_table(kind), **_entry_points(kind)}.items()):
        try:
            found = _get(name, kind)
        except MissingExtra as error:
            listings.append(Listing(name, target, problem=str(error), hint=error.hint))
        except Exception as error:  # whatever a package raises when it is imported is shown, not swallowed
            listings.append(
                Listing(name, target, problem=f"{type(error).__name__}: {error}", hint="reinstall it")
            )
        else:
            options = getattr(found, "options", None)
            fields = dataclasses.fields(options) if options is not None else ()
            listings.append(
                Listing(
                    name,
                    target,
                    getattr(found, "version", 0),
                    found.signal.__name__,
                    tuple(sorted(getattr(found, "traits", ()))),
                    {field.name: field.default for field in fields},
                )
            )
    return listings
