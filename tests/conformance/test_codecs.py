"""The laws that every codec keeps. A new codec in the registry is covered without a line here."""

from __future__ import annotations

import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conformance.cases import signals_for, strategy_for
from conformance.streams import Pipe, coded, is_lossless, presets, signal_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import narrows
from narrows import _core, registry
from narrows.contracts import DIM_NAMES, MEDIA_OF, Media, Want, crop, dims_of, shrink
from narrows.signals import Audio, Image, canonical_bytes, equal


def each_preset(codec: Any, case: str) -> Any:
    for preset, options in presets(codec).items():
        yield preset, options, coded(codec.name, case, preset)


def test_decodes_to_the_same_type_and_shape(codec: Any, case: str) -> None:
    signal = signal_of(codec, case)
    for _, _, stream in each_preset(codec, case):
        decoded = narrows.decode(stream)
        assert type(decoded) is type(signal)
        assert dims_of(decoded) == dims_of(signal)


def test_lossless_is_exact(codec: Any, case: str) -> None:
    signal = signal_of(codec, case)
    for _, options, stream in each_preset(codec, case):
        if is_lossless(codec, options):
            assert equal(narrows.decode(stream), signal)


def test_bytes_do_not_depend_on_threads_or_on_the_day(codec: Any, case: str) -> None:
    signal = signal_of(codec, case)
    for _, options, stream in each_preset(codec, case):
        for threads in (1, 2, 7):
            assert narrows.encode(signal, codec.name, threads=threads, **options) == stream


def test_samples_do_not_depend_on_threads(codec: Any, case: str) -> None:
    for _, _, stream in each_preset(codec, case):
        whole = narrows.decode(stream)
        for threads in (2, 7):
            assert equal(narrows.decode(stream, threads=threads), whole)


@pytest.fixture
def _isa() -> Any:
    before = _core.isa()
    yield
    _core.set_isa(before)


@pytest.mark.usefixtures("_isa")
@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "neon"])
def test_bytes_and_samples_do_not_depend_on_the_instruction_set(codec: Any, isa: str) -> None:
    if isa not in _core.available_isas():
        pytest.skip(f"this machine has no {isa}")
    for case, signal in signals_for(codec.signal).items():
        for _, options, stream in each_preset(codec, case):
            whole = narrows.decode(stream)
            _core.set_isa(isa)
            assert narrows.encode(signal, codec.name, **options) == stream, case
            assert not {"exact", "lossless"} & codec.traits or equal(narrows.decode(stream), whole), case
            _core.set_isa(_core.available_isas()[-1])


def test_works_from_a_pipe(codec: Any, case: str) -> None:
    for _, _, stream in each_preset(codec, case):
        assert equal(narrows.decode(Pipe(stream, 7)), narrows.decode(stream))


def test_works_from_a_pipe_of_the_system(codec: Any) -> None:
    case = list(signals_for(codec.signal))[-1]
    stream = coded(codec.name, case, "default")
    ours, theirs = os.pipe()

    def feed() -> None:
        with os.fdopen(theirs, "wb") as file:
            file.write(stream)

    writer = threading.Thread(target=feed)
    writer.start()
    with os.fdopen(ours, "rb") as file:
        assert equal(narrows.decode(file), narrows.decode(stream))
    writer.join()


def test_inputs_of_any_layout_give_the_same_bytes(codec: Any, case: str) -> None:
    """Inputs are read-only in all tests here, so that writing to one fails; these are strided as well."""
    signal = signal_of(codec, case)
    if not isinstance(signal, (Image, Audio)):
        pytest.skip("no array that has a layout")
    name = "pixels" if isinstance(signal, Image) else "samples"
    values = getattr(signal, name)
    wide = np.repeat(np.repeat(values, 2, axis=0), 2, axis=1)
    strided = wide[::2, ::2] if name == "pixels" else np.asfortranarray(values)
    flipped = np.ascontiguousarray(values[::-1])[::-1]
    for other in (strided, flipped):
        changed = dataclasses.replace(signal, **{name: other})
        assert narrows.encode(changed, codec.name) == coded(codec.name, case, "default")


def test_one_instance_serves_many_threads(codec: Any) -> None:
    cases = list(signals_for(codec.signal))
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(lambda case: narrows.encode(signal_of(codec, case), codec.name), cases * 2))
    assert streams == [coded(codec.name, case, "default") for case in cases] * 2


def parts(header: Any) -> list[dict[str, Any]]:
    """Parts to ask for, in the units of `decode`."""
    length = header.length
    rate = header.sample_rate_hz if header.media == Media.AUDIO else 1
    spans = [(0, length), (0, length // 2), (length // 3, length - length // 4), (length // 2, None), (0, 0)]
    spans += [(length - 1, length)] if length else []
    wants = [{"start": a / rate, "stop": None if b is None else b / rate} for a, b in spans if b != a]
    if header.media == Media.IMAGE:
        x, y = header.width // 3, header.height // 3
        wants += [{"region": (x, y, header.width - x, header.height - y)}, {"region": (0, 0, 1, 1)}]
    return wants


def in_units(part: dict[str, Any], rate: int) -> Want:
    return Want(**{k: v if v is None or k == "region" else round(v * rate) for k, v in part.items()})


def test_parts_equal_crops_of_the_whole(codec: Any, case: str) -> None:
    for _, _, stream in each_preset(codec, case):
        whole = narrows.decode(stream)
        with narrows.open(stream) as opened:
            rate = opened.header.sample_rate_hz if opened.header.media == Media.AUDIO else 1
            for part in parts(opened.header):
                units = {
                    key: v if v is None or key == "region" else round(v * rate) for key, v in part.items()
                }
                expected = crop(whole, Want(**units))
                assert equal(opened.read(**part), expected), part
                assert equal(narrows.decode(Pipe(stream), **part), expected), part


def test_blocks_join_to_the_whole(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    whole = bytes(canonical_bytes(narrows.decode(stream)))
    assert b"".join(bytes(canonical_bytes(block)) for block in narrows.open(stream)) == whole
    assert b"".join(bytes(canonical_bytes(block)) for block in narrows.open(Pipe(stream))) == whole


def test_scaled_pictures_have_the_right_size_and_brightness(codec: Any, case: str) -> None:
    if codec.signal is not Image:
        pytest.skip("not a picture")
    for _, _, stream in each_preset(codec, case):
        whole = narrows.decode(stream)
        for shift in (1, 2, 3, 5):
            small = narrows.decode(stream, scale=1 / 2**shift)
            size = (-(-whole.height >> shift), -(-whole.width >> shift), whole.channels)
            assert small.pixels.shape == size
            assert (small.bit_depth, small.color) == (whole.bit_depth, whole.color)
            assert equal(narrows.decode(Pipe(stream), scale=1 / 2**shift), small)
            assert equal(narrows.decode(stream, scale=1 / 2**shift, threads=2), small)
            if case in ("picture", "black", "white"):
                # A box average, or a low-pass filter around each box's first pixel, as wavelets have it.
                half = 1 << shift - 1
                around = np.pad(whole.pixels, ((half, 0), (half, 0), (0, 0)), "edge")
                averages = [shrink(pixels, shift)[: size[0], : size[1]] for pixels in (whole.pixels, around)]
                off = [small.pixels.astype(float) - average for average in averages]
                assert min(abs(o.mean()) for o in off) <= 0.02 * whole.peak
                assert min(abs(o).mean() for o in off) <= 0.05 * whole.peak


def test_scaled_regions_are_parts_of_the_scaled_picture(codec: Any) -> None:
    if codec.signal is not Image:
        pytest.skip("not a picture")
    stream = coded(codec.name, "picture", "default")
    small = narrows.decode(stream, scale=1 / 4)
    part = narrows.decode(stream, scale=1 / 4, region=(9, 6, 21, 30))
    assert np.array_equal(part.pixels, small.pixels[1:9, 2:8])


def test_a_small_scale_reads_only_its_layers(codec: Any) -> None:
    if "progressive" not in codec.traits:
        pytest.skip("not progressive")
    rng = np.random.default_rng(8)
    smooth = np.repeat(np.repeat(rng.integers(60, 180, (12, 16, 3)), 8, axis=0), 8, axis=1)
    signal = Image((smooth + rng.integers(0, 40, smooth.shape)).astype(np.uint8))
    stream = narrows.encode(signal, codec.name, **(presets(codec).get("quality-20") or {}))
    whole, taken = narrows.decode(stream, scale=1 / 8), []
    for scale in (1 / 8, 1 / 4, 1 / 2, 1):
        pipe = Pipe(stream)
        narrows.decode(pipe, scale=scale)
        taken.append(pipe.taken)
    assert taken == sorted(taken)
    assert taken[0] < 0.7 * len(stream) or taken[0] < taken[-1] - 100
    assert taken[-1] == len(stream)
    # What is behind the layers is never looked at, be it missing or damaged.
    assert equal(narrows.decode(stream[: taken[0]], scale=1 / 8), whole)
    damaged = stream[: taken[0] + 30] + bytes(len(stream) - taken[0] - 30)
    assert equal(narrows.decode(Pipe(damaged), scale=1 / 8), whole)


CANDIDATES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [0, 1, 2, 3, 9, 64, 4096],
    "float": [0.0, 0.5, 1.5, 33.25, 100.0],
    "str": ["psnr", "ms-ssim"],
}


def test_options_survive_being_spelled(codec: Any) -> None:
    tried = 0
    for field in dataclasses.fields(codec.options):
        for kind, values in CANDIDATES.items():
            if kind not in str(field.type):
                continue
            for value in values:
                try:
                    options = registry.make_options(codec, {field.name: value})
                except narrows.OptionError:
                    continue
                name, spelled = registry.parse(registry.spell(codec.name, options))
                assert registry.make_options(codec, spelled) == options
                assert name == codec.name
                tried += 1
    assert tried >= len(dataclasses.fields(codec.options))


def test_unknown_and_contradicting_options_are_refused(codec: Any) -> None:
    signal = next(iter(signals_for(codec.signal).values()))
    known = [field.name for field in dataclasses.fields(codec.options)]
    with pytest.raises(narrows.OptionError, match=r"no option zoom.*" + ".*".join(known)):
        narrows.encode(signal, codec.name, zoom=3)
    rates = {"quality": 50.0, "bpp": 1.0, "kbps": 8.0, "target_psnr": 30.0, "lossless": True}
    given = {name: rates[name] for name in known if name in rates}
    if len(given) > 1:
        with pytest.raises(narrows.OptionError, match="give one"):
            narrows.encode(signal, codec.name, **given)


def test_a_signal_of_another_type_is_refused(codec: Any) -> None:
    for kind in MEDIA_OF:
        if kind is not codec.signal:
            with pytest.raises(narrows.SignalError):
                narrows.encode(next(iter(signals_for(kind).values())), codec.name)


def test_names_and_promises_are_well_formed(codec: Any) -> None:
    assert registry.codec(codec.name) is codec
    assert codec.traits <= {"lossless", "exact", "progressive", "seekable", "streaming"}
    assert 0 <= codec.version <= 255
    assert codec.signal in MEDIA_OF
    assert dataclasses.is_dataclass(codec.options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        codec.options().anything = 1


def test_limits_are_checked_before_decoding(codec: Any, case: str) -> None:
    stream = coded(codec.name, case, "default")
    header = narrows.open(stream).header
    size = canonical_bytes(signal_of(codec, case)).nbytes if header.media == Media.IMAGE else header.length
    if size and header.media != Media.FORMULAS:
        with pytest.raises(narrows.LimitExceeded, match="max_output_bytes"):
            narrows.decode(stream, limits=narrows.Limits(max_output_bytes=size - 1))
    if header.media == Media.IMAGE:
        with pytest.raises(narrows.LimitExceeded, match="max_pixels"):
            narrows.decode(stream, limits=narrows.Limits(max_pixels=header.width * header.height - 1))


def test_metadata_survives_and_can_be_stripped(codec: Any) -> None:
    signal = list(signals_for(codec.signal).values())[-1]
    meta = {
        "icc": b"profile",
        "exif": b"MM\0*\0\0\0\x08\0\0",
        "xmp": b"<x/>",
        "tags": {"title": "é", "by": ["a", "b"]},
    }
    tagged = dataclasses.replace(signal, meta=meta)
    stream = narrows.encode(tagged, codec.name)
    assert narrows.decode(stream).meta == meta
    assert narrows.decode(narrows.encode(tagged, codec.name, strip=True)).meta == {"icc": b"profile"}
    assert equal(narrows.decode(stream), narrows.decode(narrows.encode(signal, codec.name)))


def test_check_holds_the_digest_of_what_is_decoded(codec: Any, case: str) -> None:
    if "exact" not in codec.traits:
        pytest.skip("samples are not promised to be the same everywhere")
    signal = signal_of(codec, case)
    for _, options, plain in each_preset(codec, case):
        stream = narrows.encode(signal, codec.name, check=True, **options)
        found = narrows.verify(stream)
        assert (found.ok, found.samples_match) == (True, True)
        assert len(stream) in (len(plain), len(plain) + 11)


def test_info_says_what_the_header_says(codec: Any, case: str) -> None:
    info = narrows.info(coded(codec.name, case, "default"))
    signal = signal_of(codec, case)
    assert (info.codec, info.version) == (codec.name, codec.version)
    assert tuple(info.dims.values()) == dims_of(signal)
    assert tuple(info.dims) == DIM_NAMES[MEDIA_OF[codec.signal]]
    assert info.num_bytes == len(coded(codec.name, case, "default"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_signal_survives(codec_name: str, data: st.DataObject) -> None:
    codec = registry.codec(codec_name)
    strategy = strategy_for(codec.signal)
    if strategy is None:
        return
    signal = data.draw(strategy)
    for options in presets(codec).values():
        decoded = narrows.decode(narrows.encode(signal, codec_name, **options))
        assert dims_of(decoded) == dims_of(signal)
        assert not is_lossless(codec, options) or equal(decoded, signal)
