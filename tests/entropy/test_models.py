"""Entropy models: all models and shapes go round, decoders use what they know, damage and lies raise."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows import entropy
from narrows.entropy import distributions, framing, models
from narrows.errors import CorruptStream, LimitExceeded, UnsupportedStream

GAUSSIAN = entropy.scale_family("gaussian")
SHAPES = [(1, 4, 6, 5), (3, 4, 1, 1), (2, 4, 0, 7), (0, 4, 3, 3), (4, 7, 9)]


def around(k: int, known: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scales and means by the sum over all channels and both neighbors in a row: integers."""
    total = np.abs(known).sum(axis=-3, keepdims=True)
    left = np.roll(known, 1, axis=-1) if known.shape[-1] else known
    return np.broadcast_to(total + 1 + k, known.shape) << 12, left >> 1


def with_side(k: int, known: np.ndarray, side: Any) -> tuple[np.ndarray, None]:
    return np.abs(side) + (np.abs(known).sum() if k else 0) + 1, None


MODELS: dict[str, Callable[[], Any]] = {
    "static": lambda: entropy.Static(GAUSSIAN.tables),
    "hyperprior": lambda: entropy.Hyperprior(GAUSSIAN),
    "hyperprior of a function": lambda: entropy.Hyperprior(
        GAUSSIAN, lambda k, known, side: (abs(side[0]), side[1]), 16, 3
    ),
    "checkerboard": lambda: entropy.Checkerboard(GAUSSIAN, around),
    "groups": lambda: entropy.ChannelGroups(GAUSSIAN, around, groups=(1, 1, 2)),
    "groups, an empty one": lambda: entropy.ChannelGroups(GAUSSIAN, around, groups=(4, 0)),
    "groups by squares": lambda: entropy.ChannelGroups(
        entropy.scale_family("laplace", 128), around, groups=(3, 1), checkerboard=True
    ),
}


def drawn(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = rng.integers(0, 20 << 16, shape)
    mean = rng.integers(-9, 9, shape)
    symbols = np.rint(rng.normal(mean, scale / 65536 + 0.1)).astype(np.int32)
    return symbols, np.stack([scale, mean])


@pytest.mark.parametrize("few", [models._FEW, -1], ids=["stream", "passes"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_goes_round(
    name: str, shape: tuple[int, ...], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_FEW", few)
    symbols, side = drawn(shape)
    model = MODELS[name]()
    for options in ({}, {"check": False}, {"hash_index": False}):
        payload = entropy.encode_symbols(model, symbols, side, **options)
        back = entropy.decode_symbols(model, payload, shape, side, check=options.get("check", True))
        assert back.dtype == np.int32
        assert np.array_equal(back, symbols)


def test_int32_extremes_survive_whatever_the_mean() -> None:
    symbols = np.array([-(2**31), 2**31 - 1, 0, -1], np.int32)
    side = np.array([[1 << 16] * 4, [2**31 - 1, -(2**31), 5, -(2**31)]])
    payload = entropy.encode_symbols(entropy.Hyperprior(GAUSSIAN), symbols, side)
    assert (entropy.decode_symbols(entropy.Hyperprior(GAUSSIAN), payload, (4,), side) == symbols).all()


def test_large_arrays_take_a_payload_a_pass_and_cost_their_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_FEW", 1 << 14)
    symbols, side = drawn((1, 4, 128, 96))
    model = entropy.ChannelGroups(
        GAUSSIAN, lambda k, known, side: (side[0], side[1]), groups=(1, 1, 1, 1), checkerboard=False
    )
    payload = entropy.encode_symbols(model, symbols, side)
    parsed = framing.ModelPayload.parse(payload, True)
    assert parsed.profile == framing.STREAM
    big, wide = np.tile(symbols, (1, 1, 2, 2)), np.tile(side, (1, 1, 1, 2, 2))
    payload = entropy.encode_symbols(model, big, wide)
    parsed = framing.ModelPayload.parse(payload, True)
    assert parsed.profile == framing.PASSES
    assert len(parsed.pieces) == 4
    ideal = GAUSSIAN.tables.cost_bits(big - wide[1], GAUSSIAN.index(wide[0])) / 8
    assert len(payload) < ideal * 1.001 + 4 * 120
    assert np.array_equal(entropy.decode_symbols(model, payload, big.shape, wide, threads=2), big)


def test_a_small_stream_costs_a_head_and_two_bytes_a_pass() -> None:
    symbols, side = drawn((1, 8, 4, 4))
    model = entropy.ChannelGroups(GAUSSIAN, lambda k, known, side: tuple(side), groups=(1,) * 8)
    ideal = GAUSSIAN.tables.cost_bits(symbols - side[1], GAUSSIAN.index(side[0])) / 8
    assert len(entropy.encode_symbols(model, symbols, side)) < ideal + 11 + 4 + 2 * 8 + 2


@pytest.mark.parametrize("name", MODELS)
def test_bytes_do_not_depend_on_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_FEW", -1)
    symbols, side = drawn((2, 4, 8, 8))
    one = entropy.encode_symbols(MODELS[name](), symbols, side)
    assert one == entropy.encode_symbols(MODELS[name](), symbols, side, threads=3)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "static"])
def test_a_plan_sees_nothing_but_what_the_decoder_knows(name: str) -> None:
    """Changing symbols that a pass has yet to code changes no plan up to it."""
    symbols, side = drawn((2, 4, 6, 6))
    model = MODELS[name]()
    known = np.zeros(symbols.shape, np.int32)
    for k in range(model.passes):
        mask = model.plan(k, known, side).mask
        other = symbols.copy()
        other[mask] += 1000
        seen: list[list[np.ndarray]] = []
        for message in (symbols, other):
            spy = Spy(model)
            entropy.encode_symbols(spy, message, side)
            seen.append(spy.known)
        for first, second in zip(seen[0][: k + 1], seen[1], strict=False):
            assert np.array_equal(first, second)
        known[mask] = symbols[mask]
    assert np.array_equal(known, symbols)


class Spy:
    """A model that keeps what it was shown."""

    def __init__(self, model: Any) -> None:
        self.model, self.tables, self.passes = model, model.tables, model.passes
        self.known: list[np.ndarray] = []

    def plan(self, k: int, known: np.ndarray, side: Any) -> Any:
        self.known.append(known.copy())
        with pytest.raises(ValueError):
            known[...] = 1  # a plan cannot write
        return self.model.plan(k, known, side)


def test_checkerboard_passes_are_the_two_colors() -> None:
    model = entropy.Checkerboard(GAUSSIAN, around)
    masks = [model.plan(k, np.zeros((2, 3, 5, 4), np.int32), None).mask for k in range(2)]
    assert masks[0][0, 0, 0, 0]
    assert not masks[0][0, 0, 0, 1]
    assert np.array_equal(masks[0], ~masks[1])
    # Each square's four neighbors belong to the other pass.
    assert np.array_equal(masks[0][..., 1:, :], masks[1][..., :-1, :])
    assert np.array_equal(masks[0][..., :, 1:], masks[1][..., :, :-1])


@pytest.mark.parametrize("few", [models._FEW, -1], ids=["stream", "passes"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "static"])
def test_a_model_that_computes_other_integers_is_told_so(
    name: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_FEW", few)
    symbols, side = drawn((1, 4, 6, 6))
    payload = entropy.encode_symbols(MODELS[name](), symbols, side)

    class Drifted(Spy):
        def plan(self, k: int, known: np.ndarray, side: Any) -> Any:
            plan = self.model.plan(k, known, side)
            index = np.array(np.broadcast_to(plan.index, known.shape))
            index[0, -1, 0, 0] ^= 1
            index[0, -1, 0, 1] ^= 1
            return models.Plan(plan.mask, index, plan.mean)

    with pytest.raises(CorruptStream, match="indexes differ in pass"):
        entropy.decode_symbols(Drifted(MODELS[name]()), payload, symbols.shape, side)


def test_other_means_and_another_side_are_told() -> None:
    symbols, side = drawn((1, 4, 6, 6))
    model = entropy.Hyperprior(GAUSSIAN)
    payload = entropy.encode_symbols(model, symbols, side)
    by_mean, by_scale = side.copy(), side.copy()
    by_mean[1] += 1
    by_scale[0] *= 2
    for other in (by_mean, by_scale, side[0]):
        with pytest.raises(CorruptStream, match="indexes differ"):
            entropy.decode_symbols(model, payload, symbols.shape, other)


def test_other_tables_are_told() -> None:
    symbols, side = drawn((1, 4, 6, 6))
    payload = entropy.encode_symbols(entropy.Hyperprior(GAUSSIAN), symbols, side)
    laplace = entropy.scale_family("laplace")
    said = (
        f"tables differ: stream {GAUSSIAN.tables.digest().hex()}, installed {laplace.tables.digest().hex()}"
    )
    with pytest.raises(CorruptStream, match=said):
        entropy.decode_symbols(entropy.Hyperprior(laplace), payload, symbols.shape, side)


@pytest.mark.parametrize("few", [models._FEW, -1], ids=["stream", "passes"])
def test_damage_of_every_kind_raises(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_FEW", few)
    symbols, _ = drawn((1, 4, 6, 6))
    model = entropy.Checkerboard(GAUSSIAN, around)
    payload = entropy.encode_symbols(model, symbols)
    for end in range(len(payload)):
        with pytest.raises(CorruptStream):
            entropy.decode_symbols(model, payload[:end], symbols.shape)
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptStream, UnsupportedStream)):
            entropy.decode_symbols(model, damaged, symbols.shape)
    for wrong in (payload + b"\0", b"", payload[1:]):
        with pytest.raises((CorruptStream, UnsupportedStream)):
            entropy.decode_symbols(model, wrong, symbols.shape)


@pytest.mark.parametrize("few", [models._FEW, -1], ids=["stream", "passes"])
@given(data=st.data())
def test_unchecked_damage_raises_or_gives_symbols_in_bounded_work(few: int, data: st.DataObject) -> None:
    symbols, side = drawn((1, 2, 6, 6))
    model = entropy.ChannelGroups(GAUSSIAN, lambda k, known, side: tuple(side), groups=(1, 1))
    before, models._FEW = models._FEW, few
    try:
        payload = bytearray(entropy.encode_symbols(model, symbols, side, check=False))
    finally:
        models._FEW = before
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        back = entropy.decode_symbols(model, payload, symbols.shape, side, check=False)
    except (CorruptStream, UnsupportedStream):
        return
    assert back.shape == symbols.shape


def test_a_payload_of_other_sizes_is_refused() -> None:
    symbols, side = drawn((1, 4, 6, 6))
    model = entropy.Hyperprior(GAUSSIAN)
    payload = entropy.encode_symbols(model, symbols, side)
    with pytest.raises(CorruptStream, match="144 symbols"):
        entropy.decode_symbols(model, payload, (1, 4, 6, 5), side[..., :5])
    with pytest.raises(CorruptStream, match="passes"):
        entropy.decode_symbols(entropy.Checkerboard(GAUSSIAN, around), payload, symbols.shape, side)
    with pytest.raises(LimitExceeded):
        entropy.decode_symbols(model, payload, (2**20, 2**20), side)
    with pytest.raises(ValueError):
        entropy.decode_symbols(model, payload, (-1, 4), side)
    with pytest.raises(CorruptStream, match="no checksum"):
        entropy.decode_symbols(
            model, entropy.encode_symbols(model, symbols, side, check=False), symbols.shape, side
        )


class Planned:
    """A model with one plan for each pass."""

    tables = GAUSSIAN.tables

    def __init__(self, *plans: Any) -> None:
        self.plans, self.passes = plans, len(plans)

    def plan(self, k: int, known: np.ndarray, side: Any) -> Any:
        return self.plans[k]


@pytest.mark.parametrize(
    "plans",
    [
        [((slice(0, 2),), 0)],
        [(..., 0), ((slice(0, 1),), 0)],
        [(np.array([True, False, False, True]), 0)],
        [(..., 64)],
        [(..., [0, 1])],
        [(..., [0.5, 1, 2, 3])],
        [models.Plan(..., 0, 2**31)],
        [(np.ones(5, bool), 0)],
        [((slice(None), 0), 0)],
        [(np.array([0, 0, 1, 2]), 0)],
        [([0, 0, 1, 2], 0)],
        [(([0, 0, 1, 2],), 0)],
        [(None, 0)],
    ],
    ids=[
        *("too few", "twice", "holes", "no such table", "shape", "floats", "mean"),
        *("mask too long", "mask too deep", "places", "list of places", "tuple of places", "no mask"),
    ],
)
def test_a_plan_that_cannot_be_is_the_callers_mistake(plans: list[Any]) -> None:
    model = Planned(*plans)
    with pytest.raises(ValueError):
        entropy.encode_symbols(model, np.arange(4))
    head = entropy.encode_symbols(Planned(*[(..., 0)] * len(plans[:1])), np.arange(4), check=False)
    if len(plans) == 1:
        with pytest.raises(ValueError):
            entropy.decode_symbols(model, head, (4,), check=False)


def test_as_many_passes_are_coded_as_are_read() -> None:
    class Long(Planned):
        def plan(self, k: int, known: np.ndarray, side: Any) -> Any:
            return (..., 0) if k == 0 else ((slice(0, 0),), np.zeros(0, int))

    model = Long()
    model.passes = 1 << 16
    for few in (1 << 16, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "_FEW", few)
            payload = entropy.encode_symbols(model, np.arange(4))
        assert entropy.decode_symbols(model, payload, (4,)).tolist() == [0, 1, 2, 3]
    for passes in ((1 << 16) + 1, -1):
        model.passes = passes
        with pytest.raises(ValueError, match="passes"):
            entropy.encode_symbols(model, np.arange(4))


def test_shapes_that_are_none_are_the_callers_mistake() -> None:
    model = entropy.Hyperprior(GAUSSIAN)
    side = np.ones(4, int)
    payload = entropy.encode_symbols(model, np.arange(4), side)
    rows, mixture = np.ones((4, 9), int), np.ones((3, 4, 1), int)
    network = entropy.Autoregressive(
        entropy.Tables.from_pmf([[1, 1]], [0]),
        [(0, 0, -1)],
        entropy.identity_map()[None],
        [entropy.Layer(np.array([[1]], np.int8), np.array([0]), np.array([1]), 8)],
        (1,),
    )
    for shape in ((4.0,), ("4",), 4, None, (-1, -4), (2.5,)):
        for each, aside in (
            *((model, side), (entropy.Categorical(), rows), (entropy.Mixture(), mixture)),
            (network, None),
        ):
            with pytest.raises(ValueError, match="shape"):
                entropy.decode_symbols(each, payload, shape, aside)
            if not isinstance(each, entropy.Hyperprior):
                with pytest.raises(ValueError, match="shape"):
                    each.decode(payload, shape, aside)


def test_payloads_are_any_bytes_in_a_row() -> None:
    model = entropy.Hyperprior(GAUSSIAN)
    side = np.ones(4, int)
    payload = entropy.encode_symbols(model, np.arange(4), side)
    for given_bytes in (bytearray(payload), memoryview(payload), np.frombuffer(payload, np.uint8)):
        assert entropy.decode_symbols(model, given_bytes, (4,), side).tolist() == [0, 1, 2, 3]
    twice = np.repeat(np.frombuffer(payload, np.uint8), 2)
    assert entropy.decode_symbols(model, memoryview(twice)[::2], (4,), side).tolist() == [0, 1, 2, 3]
    for other in ("text", 5, None, [1, 2]):
        for each, aside in ((model, side), (entropy.Categorical(), np.ones((4, 9), int))):
            with pytest.raises(TypeError):
                entropy.decode_symbols(each, other, (4,), aside)


def test_an_index_of_no_table_is_told_before_that_it_differs() -> None:
    model = Planned((..., 0))
    for few in (1 << 16, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "_FEW", few)
            payload = entropy.encode_symbols(model, np.arange(4))
        for wrong in (64, -1, 65536):
            with pytest.raises(ValueError, match=r"names no table|index holds"):
                entropy.decode_symbols(Planned((..., wrong)), payload, (4,))


def test_what_is_no_model_is_told_so() -> None:
    class Half:
        tables = GAUSSIAN.tables
        passes = 1

    for model in (Half(), None, GAUSSIAN, GAUSSIAN.tables):
        with pytest.raises(TypeError, match=f"{type(model).__name__} has neither"):
            entropy.encode_symbols(model, [0])
        with pytest.raises(TypeError, match=f"{type(model).__name__} has neither"):
            entropy.decode_symbols(model, b"", (1,))
    with pytest.raises(ValueError, match="threads"):
        entropy.encode_symbols(Planned((..., 0)), [0], threads=0)
    with pytest.raises(ValueError, match="threads"):
        entropy.decode_symbols(Planned((..., 0)), b"", (1,), threads=0)


def test_symbols_and_sides_of_the_wrong_kind_are_refused() -> None:
    model = entropy.Hyperprior(GAUSSIAN)
    for symbols, side in ((np.zeros(3), np.ones(3, int)), (np.zeros(3, int), np.ones(3)), ([2**31], [1])):
        with pytest.raises(ValueError):
            entropy.encode_symbols(model, symbols, side)
    with pytest.raises(ValueError):
        entropy.encode_symbols(model, np.zeros(3, int), np.ones(4, int))
    with pytest.raises(ValueError):
        entropy.encode_symbols(entropy.Static(GAUSSIAN.tables), np.zeros((65, 1, 1), int))
    with pytest.raises(ValueError):
        entropy.encode_symbols(entropy.ChannelGroups(GAUSSIAN, around, groups=(2,)), np.zeros((3, 1, 1), int))


def test_torch_tensors_are_taken_as_they_are() -> None:
    torch = pytest.importorskip("torch", reason="tensors need torch")
    symbols, side = drawn((1, 4, 6, 6))
    model = entropy.Hyperprior(GAUSSIAN)
    payload = entropy.encode_symbols(model, torch.from_numpy(symbols), torch.from_numpy(side))
    assert payload == entropy.encode_symbols(model, symbols, side)


@pytest.mark.parametrize("module", [entropy, distributions, models], ids=lambda module: module.__name__)
def test_examples_run(module: Any) -> None:
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 5
    assert found.failed == 0
