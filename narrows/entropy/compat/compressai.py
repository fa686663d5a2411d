"""CompressAI models on this coder: `use(model)`; and CompressAI's own strings, byte for byte and checked.

    from narrows.entropy.compat import compressai

    compressai.use(model)                       # strings in this project's format, from now on
    with compressai.use(model, format="compressai"):
        strings = model.compress(x)["strings"]  # CompressAI's own bytes, and only faster

`RansEncoder`, `RansDecoder`, `BufferedRansEncoder` and `pmf_to_quantized_cdf` stand in for CompressAI's. They
need neither CompressAI nor torch; `use` does.
"""

from __future__ import annotations

import copyreg
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

from narrows.entropy.compat.compressai_ans import (
    ENCODERS,
    BufferedRansEncoder,
    Format,
    RansDecoder,
    RansEncoder,
    TablePair,
    decode_rows,
    encode_rows,
    int32_of,
    pmf_to_quantized_cdf,
    table_pair,
    tables_of,
)
from narrows.entropy.compat.exact import family_of, replaced_layers
from narrows.errors import MissingExtra

__all__ = [
    "BufferedRansEncoder",
    "RansDecoder",
    "RansEncoder",
    "Use",
    "exact",
    "pmf_to_quantized_cdf",
    "tables_of",
    "use",
]


class _Coder:
    """What CompressAI's `_EntropyCoder` is: a name, an encoder and a decoder."""

    def __init__(self, name: str, format: Format) -> None:
        self.name = name
        self._encoder = ENCODERS[format]["RansEncoder"]()
        self._decoder = ENCODERS[format]["RansDecoder"]()
        self.encode_with_indexes = self._encoder.encode_with_indexes
        self.decode_with_indexes = self._decoder.decode_with_indexes


# `compress` and `decompress` of an entropy model, without lists.


# For each entropy model the tensors that its tables were last made of, and their versions.
_seen: weakref.WeakKeyDictionary[Any, tuple[Any, list[int], TablePair]] = weakref.WeakKeyDictionary()


def _pair_of(model: Any) -> TablePair:
    """Return the tables of an entropy model; looks at their content only if the tensors changed."""
    if hasattr(model, "_narrows_pair"):
        return model._narrows_pair  # type: ignore[no-any-return]
    tensors = (model._quantized_cdf, model._cdf_length, model._offset)
    seen = _seen.get(model)
    if seen is not None:
        known, versions, pair = seen
        if all(a is b for a, b in zip(tensors, known, strict=True)) and versions == [
            tensor._version for tensor in tensors
        ]:
            return pair
    pair = table_pair(*(tensor.detach().cpu().numpy() for tensor in tensors))
    _seen[model] = (tensors, [tensor._version for tensor in tensors], pair)
    return pair


def _methods(format: Format, threads: int) -> dict[str, Callable[..., Any]]:
    """Return `compress` and `decompress` as `EntropyModel` and `EntropyModelVbr` have them."""

    def options(model: Any) -> dict[str, Any]:
        # The indexes of a bottleneck are its channels; those of a conditional come out of a network.
        return {"threads": threads, "hash_index": hasattr(model, "scale_table")}

    def compress(self: Any, inputs: Any, indexes: Any, means: Any = None, qs: Any = None) -> list[bytes]:
        if qs is None:
            symbols = self.quantize(inputs, "symbols", means)
        else:
            symbols = self.quantize_variable(inputs, "symbols", means=means, qs=qs)
        if inputs.dim() < 2:
            raise ValueError("Invalid `inputs` size. Expected a tensor with at least 2 dimensions.")
        if inputs.size() != indexes.size():
            raise ValueError("`inputs` and `indexes` should have the same size.")
        self._check_cdf_size()
        self._check_cdf_length()
        self._check_offsets_size()
        return encode_rows(
            int32_of(symbols, "symbols"),
            int32_of(indexes, "indexes"),
            len(symbols),
            _pair_of(self),
            format,
            **options(self),
        )

    def decompress(
        self: Any, strings: Any, indexes: Any, dtype: Any = None, means: Any = None, qs: Any = None
    ) -> Any:
        import torch

        if not isinstance(strings, (tuple, list)):
            raise ValueError("Invalid `strings` parameter type.")  # noqa: TRY004  (CompressAI's)
        if len(strings) != indexes.size(0):
            raise ValueError("Invalid strings or indexes parameters")
        if indexes.dim() < 2:
            raise ValueError("Invalid `indexes` size. Expected a tensor with at least 2 dimensions.")
        self._check_cdf_size()
        self._check_cdf_length()
        self._check_offsets_size()
        if means is not None and (
            means.size()[:2] != indexes.size()[:2]
            or (means.size() != indexes.size() and any(n != 1 for n in means.size()[2:]))
        ):
            raise ValueError("Invalid means parameters")
        pair = _pair_of(self)
        given = options(self)
        given.pop("hash_index")
        symbols = decode_rows(strings, int32_of(indexes, "indexes"), pair, format, **given)
        outputs = torch.from_numpy(symbols).reshape(indexes.size()).to(self._quantized_cdf.device)
        kind = torch.float if dtype is None else dtype
        if qs is None:
            return self.dequantize(outputs, means, kind)
        return self.dequantize_variable(outputs, means=means, dtype=kind, qs=qs)

    return {"compress": compress, "decompress": decompress}


# Classes that make their own encoders do so by name: a copy of their functions looks the names up elsewhere.


def _names_in(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _rebound(function: Any, replacements: dict[str, type], originals: tuple[Any, ...]) -> Any:
    """Return a copy of `function` for which the encoders' names mean ours; None if it does not use them.

    Looks through decorators too: they hold the function that they wrap in their closure, and name it.
    """
    if isinstance(function, (staticmethod, classmethod)):
        inner = _rebound(function.__func__, replacements, originals)
        return None if inner is None else type(function)(inner)
    if not isinstance(function, types.FunctionType):
        return None
    scope = function.__globals__
    names = {
        name: replacements[scope[name].__name__]
        for name in _names_in(function.__code__)
        if any(scope.get(name) is original for original in originals)
    }
    cells = list(function.__closure__ or ())
    wrapped = getattr(function, "__wrapped__", None)
    changed = bool(names)
    for i, cell in enumerate(cells):
        try:
            held = cell.cell_contents
        except ValueError:  # a cell that is not filled yet
            continue
        # What wraps says so; other functions in closures may be anything, themselves included.
        inner = _rebound(held, replacements, originals) if held is wrapped else None
        if inner is not None:
            cells[i] = types.CellType(inner)
            changed = True
    if not changed:
        return None
    made = types.FunctionType(
        function.__code__, {**scope, **names}, function.__name__, function.__defaults__, tuple(cells) or None
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__, made.__doc__ = function.__qualname__, function.__doc__
    made.__dict__.update(function.__dict__)
    return made


def _functions_to_replace(
    kind: type, replacements: dict[str, type], originals: tuple[Any, ...]
) -> dict[str, Any]:
    """Return copies of the functions of a class that make encoders, those of its parents included."""
    functions: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        for name, value in vars(owner).items():
            made = _rebound(value, replacements, originals)
            if made is not None:
                functions[name] = made
            else:
                functions.pop(name, None)
    return functions


def _as_before(original: type) -> dict[str, Any]:
    """Copies and pickles of a model in use are CompressAI's own again."""

    def reduce(self: Any, protocol: Any) -> Any:
        return copyreg._reconstructor, (original, object, None), self.__getstate__()  # type: ignore[attr-defined]

    return {"__reduce_ex__": reduce, "_narrows_uses": True}


class Use:
    """What `use` did; `undo()`, or leaving the `with` block, takes it back."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []

    def __enter__(self) -> Use:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def undo(self) -> None:
        """Make everything as it was before."""
        while self._steps:
            self._steps.pop()()

    def _set_part(self, owner: Any, name: str, part: Any) -> None:
        before = owner._modules[name]
        owner._modules[name] = part
        self._steps.append(lambda: owner._modules.update({name: before}))

    def _set(self, owner: Any, name: str, value: Any) -> None:
        before = getattr(owner, name)
        setattr(owner, name, value)
        self._steps.append(lambda: setattr(owner, name, before))


def use(model: Any = None, *, format: Format = "narrows", threads: int = 1) -> Use:
    """Let a CompressAI model code with Narrows: same tensors, strings in `format`, a fraction of the time.

    Covers every entropy model inside `model` and every class of it that makes encoders itself (autoregressive
    and channel-wise models, also your own), and touches no other model. Without a model, all of this process
    are meant, those made already only in their `compress` and `decompress`.

    "narrows" strings are about as long as CompressAI's, are checked, and say when tables or indexes differ
    from the encoder's. "compressai" strings are CompressAI's own, byte for byte. Copies and pickles of the
    model are plain again. `threads` code chunks of large tensors at once.

    Raises MissingExtra without CompressAI, ValueError for a model that holds no entropy model of its.
    """
    if format not in ENCODERS:
        raise ValueError(f"format is 'narrows' or 'compressai', not {format!r}")
    try:
        import compressai.ans as ans
        from compressai.entropy_models import entropy_models, entropy_models_vbr
    except ImportError:
        raise MissingExtra("compat.compressai.use", "compressai") from None
    bases = (entropy_models.EntropyModel, entropy_models_vbr.EntropyModelVbr)
    originals = (ans.RansEncoder, ans.BufferedRansEncoder, ans.RansDecoder)
    methods = _methods(format, threads)
    used = Use()
    if model is None:
        for base in bases:
            for name, method in methods.items():
                used._set(base, name, method)
        for module in [m for m in sys.modules.values() if isinstance(m, types.ModuleType)]:
            for name, value in list(vars(module).items()):
                if any(value is original for original in originals):
                    used._set(module, name, ENCODERS[format][value.__name__])
        return used

    found = False
    functions_of: dict[type, dict[str, Any]] = {}
    coded = {base: type("Coded", (base,), dict(methods)) for base in bases}
    for part in model.modules():
        kind = type(part)
        base = next((b for b in bases if isinstance(part, b)), None)
        if hasattr(part, "_narrows_uses"):
            raise ValueError("the model uses Narrows already: undo that first")
        if kind not in functions_of:
            functions_of[kind] = _functions_to_replace(kind, ENCODERS[format], originals)
        functions = functions_of[kind]
        if base is None and not functions:
            continue
        found = True
        parents = (kind,) if base is None else (coded[base],) if kind is base else (kind, coded[base])
        used._set(part, "__class__", type(kind.__name__, parents, {**functions, **_as_before(kind)}))
        if base is not None:
            used._set(part, "entropy_coder", _Coder(part.entropy_coder.name, format))
    if not found:
        raise ValueError("the model holds no entropy model of CompressAI's")
    return used


def exact(model: Any, *, threads: int = 1) -> Use:
    """Let a CompressAI model's strings decode alike on every machine, and code with Narrows.

    As `use(model)`; besides, Gaussians come from shipped integer tables, scales choose them by integer
    thresholds, and the networks that scales and means come from compute on integers (see `compat.exact`).
    Encoder and decoder both call this. The tables of entropy bottlenecks are the checkpoint's: call
    `model.update()` once, before saving it, not on each machine.

    Raises ValueError for models that code pixel by pixel, whose context networks run outside their layers,
    and for networks of layers other than convolutions, linear ones and ReLUs.
    """
    layers = replaced_layers(model)
    used = use(model, threads=threads)
    try:
        for parent, name, layer in layers:
            used._set_part(parent, name, layer)
        for part in model.modules():
            if isinstance(part, _gaussian()):
                family = family_of(part.scale_table.detach().cpu().numpy())
                methods = {
                    "build_indexes": _build_indexes,
                    "_narrows_family": family,
                    "_narrows_pair": TablePair.of(family.tables),
                }
                kind = type(part)
                used._set(part, "__class__", type(kind.__name__, (kind,), methods))
    except BaseException:
        used.undo()
        raise
    return used


def _gaussian() -> Any:
    from compressai.entropy_models import GaussianConditional

    return GaussianConditional


def _build_indexes(self: Any, scales: Any) -> Any:
    """Return the table of each scale, by thresholds in 2^-16."""
    import torch

    index = self._narrows_family.index_of_floats(scales.detach().cpu())
    return torch.from_numpy(index.astype("int32")).to(scales.device)
