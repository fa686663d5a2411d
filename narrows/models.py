"""Weights: where they are, whether they are whole, and what is in them. Never downloads anything.

A file is `NAME-HASH.safetensors`; HASH is the first 16 hex digits of the SHA-256 of the file, the 8 bytes
that stream headers hold; its card is `NAME.md`. Searched in this order: embedded in the package,
`NARROWS_HOME/models` (by default `$XDG_DATA_HOME/narrows/models`), and the paths that the caller gives.
safetensors only: nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.errors import ModelError, ModelNotFound
from narrows.signals import Array

EMBEDDED = Path(__file__).parent / "weights"
_NAME = re.compile(r"([a-z0-9._-]+)-([0-9a-f]{16})\.safetensors")
_MAX_JSON_BYTES = 100_000_000


@dataclass(frozen=True)
class Model:
    """A weights file by its name: not yet checked."""

    name: str
    hash: str
    path: Path

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size


def home() -> Path:
    """The folder that `add` copies to."""
    folder = os.environ.get("NARROWS_HOME")
    if folder:
        return Path(folder) / "models"
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "narrows" / "models"


def installed(paths: Iterable[str | os.PathLike[str]] = ()) -> list[Model]:
    """Every model found, in search order; `paths` are further files or folders."""
    models: list[Model] = []
    for place in (EMBEDDED, home(), *map(Path, paths)):
        files = sorted(place.glob("*.safetensors")) if place.is_dir() else [place]
        for file in files:
            match = _NAME.fullmatch(file.name)
            if match and file.is_file():
                models.append(Model(match[1], match[2], file))
    return models


def find(codec: str, hash: str | bytes, paths: Iterable[str | os.PathLike[str]] = ()) -> Model:
    """The model with this hash (16 hex digits or 8 bytes) that `codec` needs. ModelNotFound."""
    wanted = hash.hex() if isinstance(hash, bytes) else hash
    for model in installed(paths):
        if model.hash == wanted:
            return model
    raise ModelNotFound(codec, wanted)


def load(codec: str, hash: str | bytes, paths: Iterable[str | os.PathLike[str]] = ()) -> dict[str, Array]:
    """The arrays of a model, after a check of the whole file against its hash. ModelNotFound, ModelError."""
    model = find(codec, hash, paths)
    data = _checked(model.path, model.hash)
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    try:
        return dict(parse(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"not a sound safetensors file: {error}", str(model.path)) from None


def metadata(path: str | os.PathLike[str]) -> Mapping[str, str]:
    """What a weights file says of itself: codec, version, recipe, licence ... ModelError for other files."""
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else _MAX_JSON_BYTES + 1
        form = file.read(size) if size <= min(_MAX_JSON_BYTES, path.stat().st_size - 8) else b""
    try:
        header: Any = json.loads(form)
        found = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError, RecursionError):
        raise ModelError("not a safetensors file", str(path)) from None


def check(path: str | os.PathLike[str]) -> Model:
    """The model in a file whose name holds its hash, if the file is whole. ModelError if not."""
    path = Path(path)
    match = _NAME.fullmatch(path.name)
    if not match:
        raise ModelError("a weights file is called NAME-HASH.safetensors", str(path))
    metadata(path)
    _checked(path, match[2])
    return Model(match[1], match[2], path)


def add(path: str | os.PathLike[str]) -> Model:
    """Check a weights file and copy it to `home`, with its card if there is one beside it."""
    model = check(path)
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    card = model.path.with_name(f"{model.name}.md")
    for source in (card, model.path) if card.is_file() else (model.path,):
        part = folder / f".{source.name}.part"
        shutil.copyfile(source, part)
        part.replace(folder / source.name)
    return Model(model.name, model.hash, folder / model.path.name)


def _checked(path: Path, hash: str) -> bytes:
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()[:16]
    if found != hash:
        raise ModelError(f"its hash is {found}, its name says {hash}: damaged or renamed", str(path))
    return data
