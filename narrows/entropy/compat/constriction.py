"""The stream coders and models of constriction on this coder: change the import, keep the calls.

    from narrows.entropy.compat import constriction

    model = constriction.stream.model.QuantizedGaussian(-100, 100)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols, model, means, stds)
    words = coder.get_compressed()                                   # uint32, this project's bytes
    constriction.stream.stack.AnsCoder(words).decode(model, means, stds)

Payloads say how many symbols they hold and carry a checksum and a sum over the models, 12 bytes in all:
damage, other models and too many symbols raise CorruptStream. Gaussians and Laplacians are computed in
integers, so the same on every machine. Not here: sealed coders (bits back from foreign bytes), `seek`, the
chain coder, symbol codes, and Cauchy and binomial models.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy import distributions
from narrows.entropy.arrays import array_of, int32_of
from narrows.errors import CorruptStream

_BITS = 24


def _floats(values: Any, name: str) -> npt.NDArray[np.float64]:
    given = array_of(values, name)
    if given.dtype.kind != "f":
        raise ValueError(f"{name} holds floats, not {given.dtype}")
    return np.ascontiguousarray(given, np.float64).reshape(-1)


class Model(ABC):
    """A distribution of symbols, or a family of them that lacks parameters, given where symbols are coded."""

    _missing: tuple[str, ...] = ()

    def _held(self, parameters: tuple[Any, ...]) -> Any:
        """Return the core's model; ValueError for a wrong number of parameters."""
        if len(parameters) != len(self._missing):
            wanted = ", ".join(self._missing) or "none"
            raise ValueError(f"{type(self).__name__} wants these parameters here: {wanted}")
        return self._made(*parameters)

    @abstractmethod
    def _made(self, *parameters: Any) -> Any:
        """Return the core's model of these parameters."""


def _weights(values: Any, name: str) -> npt.NDArray[Any]:
    given = array_of(values, name)
    if given.dtype not in (np.float32, np.float64):
        raise ValueError(f"{name} holds float32 or float64, not {given.dtype}")
    return np.ascontiguousarray(given)


class Categorical(Model):
    """Symbols 0 .. n - 1 with the probabilities given, in proportion; none gets less than 2**-24.

    Without `probabilities` a family: each symbol then comes with a row of them, [symbols, n].
    """

    def __init__(
        self, probabilities: Any = None, lazy: bool | None = None, perfect: bool | None = None
    ) -> None:
        if probabilities is None:
            self._missing = ("probabilities",)
            return
        row = _weights(probabilities, "probabilities")
        if row.ndim != 1:
            raise ValueError("a model has one vector of probabilities, a family none")
        self._model = _core.model_of_cdf(
            _core.boundaries(_core.model_of_probabilities(row[None]), _BITS)[None]
        )

    def _made(self, *parameters: Any) -> Any:
        if not parameters:
            return self._model
        rows = _weights(parameters[0], "probabilities")
        if rows.ndim != 2:
            raise ValueError("a family's probabilities are a matrix with a row for each symbol")
        return _core.model_of_probabilities(rows)


class Uniform(Categorical):
    """Symbols 0 .. size - 1, all alike."""

    def __init__(self, size: int) -> None:
        if not 1 <= size <= 2**_BITS:
            raise ValueError("a uniform model has 1 to 2**24 symbols")
        super().__init__(np.ones(size))


class Bernoulli(Categorical):
    """Symbol 1 with probability `p`, else 0; without `p` a family, with one for each symbol."""

    def __init__(self, p: float | None = None, perfect: bool | None = None) -> None:
        if p is None:
            self._missing = ("p",)
        else:
            super().__init__(np.array([1 - p, p]))

    def _made(self, *parameters: Any) -> Any:
        if not parameters:
            return self._model
        p = _floats(parameters[0], "p")
        return _core.model_of_probabilities(np.stack([1 - p, p], axis=1))


def _range(min_symbol_inclusive: int, max_symbol_inclusive: int) -> tuple[int, int]:
    """Return the first and last symbol of a model; ValueError if there are too many or none."""
    first, last = int(min_symbol_inclusive), int(max_symbol_inclusive)
    if not -(2**31) <= first <= last < 2**31 or last - first >= 2**_BITS:
        raise ValueError("min and max are int32, min not above max, at most 2**24 symbols apart")
    return first, last


class _Quantized(Model):
    """A distribution cut to integers min .. max, each of which can be coded."""

    _family = "gaussian"
    _names = ("mean", "std")

    def __init__(
        self, min_symbol_inclusive: int, max_symbol_inclusive: int, mean: float | None, scale: float | None
    ) -> None:
        first, last = _range(min_symbol_inclusive, max_symbol_inclusive)
        self._first, self._num_symbols = first, last - first + 1
        self._known = tuple(None if known is None else float(known) for known in (mean, scale))
        self._missing = tuple(
            name for name, known in zip(self._names, self._known, strict=True) if known is None
        )
        if not self._missing:
            self._model = self._made_of(*np.array(self._known, np.float64)[:, None])
            _core.boundaries(self._model, _BITS)  # raises for a scale of zero, say

    def _made_of(self, means: npt.NDArray[np.float64], scales: npt.NDArray[np.float64]) -> Any:
        data = distributions._data()
        return _core.model_of_distribution(
            data["gaussian_tail"],
            data["exponential"],
            distributions.FAMILIES.index(self._family),
            self._first,
            self._num_symbols,
            means,
            scales,
        )

    def _made(self, *parameters: Any) -> Any:
        if not parameters:
            return self._model
        rest = iter(parameters)
        given = [
            _floats(next(rest), name) if known is None else known
            for name, known in zip(self._names, self._known, strict=True)
        ]
        means, scales = np.broadcast_arrays(*given)
        return self._made_of(np.array(means, np.float64), np.array(scales, np.float64))


class QuantizedGaussian(_Quantized):
    """A Gaussian on the integers min .. max; leave out mean, std or both to give one for each symbol."""

    def __init__(
        self,
        min_symbol_inclusive: int,
        max_symbol_inclusive: int,
        mean: float | None = None,
        std: float | None = None,
    ) -> None:
        super().__init__(min_symbol_inclusive, max_symbol_inclusive, mean, std)


class QuantizedLaplace(_Quantized):
    """A Laplace distribution on the integers min .. max; parameters as `QuantizedGaussian` takes them."""

    _family = "laplace"
    _names = ("mean", "scale")

    def __init__(
        self,
        min_symbol_inclusive: int,
        max_symbol_inclusive: int,
        mean: float | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__(min_symbol_inclusive, max_symbol_inclusive, mean, scale)


class CustomModel(Categorical):
    """Any distribution on min .. max by its cumulative distribution function, of floats; no families.

    What `cdf` computes must be the same on both sides, bit for bit; CorruptStream says when it was not.
    """

    def __init__(
        self,
        cdf: Callable[[float], float],
        approximate_inverse_cdf: Any,
        min_symbol_inclusive: int,
        max_symbol_inclusive: int,
    ) -> None:
        self._first, last = _range(min_symbol_inclusive, max_symbol_inclusive)
        edges = [cdf(s + 0.5) for s in range(self._first, last)]
        super().__init__(np.diff(np.array([0.0, *edges, 1.0])))


class ScipyModel(CustomModel):
    """A frozen distribution of scipy.stats, continuous or discrete, on min .. max."""

    def __init__(self, model: Any, min_symbol_inclusive: int, max_symbol_inclusive: int) -> None:
        super().__init__(model.cdf, None, min_symbol_inclusive, max_symbol_inclusive)


def _symbols(symbols: Any, model: Model) -> npt.NDArray[np.int32]:
    given = int32_of(symbols, "symbols").reshape(-1)
    if not isinstance(model, CustomModel):
        return given
    # Beyond int32 is outside the model in any case.
    return (given.astype(np.int64) - model._first).clip(-(2**31), 2**31 - 1).astype(np.int32)


def _words(compressed: Any) -> npt.NDArray[np.uint32]:
    given = array_of(compressed, "compressed data")
    if given.dtype != np.uint32 or given.ndim != 1:
        raise ValueError("compressed data is a vector of uint32, as get_compressed returns it")
    return np.ascontiguousarray(given)


class _Decoding:
    """`decode` of a coder that holds a stack."""

    _stack: Any

    def decode(self, model: Model, *amount_or_parameters: Any) -> Any:
        """Return a symbol; or as many as are asked for; or one for each of a family's parameters.

        Raises CorruptStream if the payload holds fewer, and with the last symbol if the models were not the
        encoder's.
        """
        if not model._missing:
            if len(amount_or_parameters) > 1:
                raise ValueError("a model that has all its parameters wants a number of symbols only")
            amount = int(amount_or_parameters[0]) if amount_or_parameters else 1
            if amount < 0:
                raise ValueError("the number of symbols is negative")
            if amount > len(self._stack):
                raise CorruptStream("the payload holds fewer symbols than are asked for")
            held = model._held(())
        else:
            held = model._held(amount_or_parameters)
            amount = len(np.atleast_1d(array_of(amount_or_parameters[0], "parameters")))
        symbols = np.empty(amount, np.int32)
        self._stack.pop(symbols, held)
        if isinstance(model, CustomModel):
            symbols += np.int32(model._first)
        return symbols if amount_or_parameters else int(symbols[0])


class AnsCoder(_Decoding):
    """A stack: what `encode_reverse` put there last, `decode` gives first."""

    def __init__(self, compressed: Any = None, seal: bool = False) -> None:
        if seal:
            raise ValueError("sealed coders are not here: payloads are this project's, not any bytes")
        self._stack = _core.IntervalStack(_BITS)
        if compressed is not None:
            self._stack.open(_words(compressed))

    def encode_reverse(self, symbols: Any, model: Model, *parameters: Any) -> None:
        """Push `symbols`, an integer or an array, so that they are decoded in their order.

        Raises ValueError, and pushes none, for a symbol outside its model and a model that is none.
        """
        self._stack.push(_symbols(symbols, model), model._held(parameters))

    def get_compressed(self, unseal: bool = False) -> npt.NDArray[np.uint32]:
        """Return what is on the stack, as words; it stays there."""
        words: npt.NDArray[np.uint32] = self._stack.payload()
        return words

    def is_empty(self) -> bool:
        """Return whether nothing is on the stack."""
        return len(self._stack) == 0

    def clear(self) -> None:
        """Take everything off."""
        self._stack = _core.IntervalStack(_BITS)

    def clone(self) -> AnsCoder:
        """Return another coder with the same stack."""
        twin = AnsCoder()
        twin._stack = copy.copy(self._stack)
        return twin

    def num_words(self) -> int:
        """Return the length of what `get_compressed` returns."""
        return len(self.get_compressed())

    def num_bits(self) -> int:
        """Return 32 times `num_words`."""
        return 32 * self.num_words()

    num_valid_bits = num_bits


class RangeEncoder:
    """A queue: `RangeDecoder` gives first what was encoded first."""

    def __init__(self) -> None:
        self._queue = _core.IntervalQueue(_BITS)

    def encode(self, symbols: Any, model: Model, *parameters: Any) -> None:
        """Append `symbols`, an integer or an array; ValueError as `AnsCoder.encode_reverse`."""
        self._queue.put(_symbols(symbols, model), model._held(parameters))

    def get_compressed(self) -> npt.NDArray[np.uint32]:
        """Return what was encoded so far, as words; more may follow."""
        words: npt.NDArray[np.uint32] = self._queue.payload()
        return words

    def get_decoder(self) -> RangeDecoder:
        """Return a decoder of what was encoded so far."""
        return RangeDecoder(self.get_compressed())

    def is_empty(self) -> bool:
        """Return whether nothing was encoded."""
        return len(self._queue) == 0

    def clear(self) -> None:
        """Begin anew."""
        self._queue = _core.IntervalQueue(_BITS)

    def num_words(self) -> int:
        """Return the length of what `get_compressed` returns."""
        return len(self.get_compressed())

    def num_bits(self) -> int:
        """Return 32 times `num_words`."""
        return 32 * self.num_words()


class RangeDecoder(_Decoding):
    """Reads what a `RangeEncoder` returned."""

    def __init__(self, compressed: Any) -> None:
        self._stack = _core.IntervalStack(_BITS)
        self._stack.open(_words(compressed))

    def maybe_exhausted(self) -> bool:
        """Return whether all symbols have been decoded: here this is known."""
        return len(self._stack) == 0


stream = SimpleNamespace(
    model=SimpleNamespace(
        Model=Model,
        Categorical=Categorical,
        Uniform=Uniform,
        Bernoulli=Bernoulli,
        QuantizedGaussian=QuantizedGaussian,
        QuantizedLaplace=QuantizedLaplace,
        CustomModel=CustomModel,
        ScipyModel=ScipyModel,
    ),
    stack=SimpleNamespace(AnsCoder=AnsCoder),
    queue=SimpleNamespace(RangeEncoder=RangeEncoder, RangeDecoder=RangeDecoder),
)
