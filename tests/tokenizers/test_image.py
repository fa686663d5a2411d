"""Image tokenizers: ids and pixels are integers' doing, every size works, and a codec has their bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import narrows
from narrows import models, registry
from narrows.container import Reader
from narrows.errors import CorruptStream, ModelError, OptionError
from narrows.signals import Image, Tokens
from narrows.tokenizers import image

NAMES = sorted(image.MODELS)
BINARY = [name for name in NAMES if name in ("vq", "bsq")]
NUMBERS = [name for name in NAMES if name not in ("vq", "bsq")]


@pytest.fixture(params=NAMES)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return registry.tokenizer(request.param)


def picture(height: int = 40, width: int = 56, channels: int = 3) -> Image:
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 60 * np.sin(x / (9 + c)) + 50 * np.cos(y / (11 - c)) for c in range(channels)]
    return Image(np.stack(planes, 2).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (7, 3), (8, 8), (9, 16), (33, 41)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_comes_back(tokenizer: Any, size: tuple[int, int], channels: int) -> None:
    given = picture(*size, channels)
    tokens = tokenizer.tokenize(given)
    assert tokens.vocab_size == tokenizer.vocab_size
    assert tokens.ids.shape[1] == -(-size[0] // 8) * -(-size[1] // 8)
    back = tokenizer.detokenize(tokens)
    assert back.pixels.shape == given.pixels.shape
    assert back.bit_depth == 8


def test_more_quality_is_closer(tokenizer: Any) -> None:
    given = picture(96, 96)
    errors = []
    for quality in (0, 100):
        back = tokenizer.detokenize(tokenizer.tokenize(given, quality))
        errors.append(np.square(back.pixels.astype(float) - given.pixels).mean())
    assert errors[1] < errors[0] < np.var(given.pixels)


def test_ids_do_not_depend_on_what_is_far(tokenizer: Any) -> None:
    """As a batch cannot change an item, another part of a picture does not change a position."""
    wide = picture(64, 320)
    other = Image(np.concatenate([wide.pixels[:, :160], 255 - wide.pixels[:, 160:]], 1))
    grids = [tokenizer.tokenize(given).ids.reshape(-1, 8, 40) for given in (wide, other)]
    assert np.array_equal(grids[0][:, :, :10], grids[1][:, :, :10])


def test_strips_change_nothing(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = picture(200, 24)
    tokens = tokenizer.tokenize(given)
    back = tokenizer.detokenize(tokens)
    monkeypatch.setattr(image, "_STRIP_CELLS", 1)
    assert np.array_equal(tokenizer.tokenize(given).ids, tokens.ids)
    assert np.array_equal(tokenizer.detokenize(tokens).pixels, back.pixels)


def test_sixteen_bits(tokenizer: Any) -> None:
    given = picture(24, 24)
    deep = Image(given.pixels.astype(np.uint16) * 257)
    assert np.array_equal(tokenizer.tokenize(deep).ids, tokenizer.tokenize(given).ids)
    assert tokenizer.detokenize(tokenizer.tokenize(deep)).pixels.dtype == np.uint16


def test_the_codec_sends_the_very_ids(tokenizer: Any) -> None:
    given = picture(48, 72)
    tokens = tokenizer.tokenize(given)
    stream = narrows.encode(given, f"tokens/{tokenizer.name}")
    assert np.array_equal(narrows.decode(stream).pixels, tokenizer.detokenize(tokens).pixels)


@pytest.mark.parametrize("name", NAMES)
def test_golden_ids_and_pixels(name: str, golden: Any) -> None:
    """Hashes of what this picture becomes, on every machine."""
    tokenizer = registry.tokenizer(name)
    tokens = tokenizer.tokenize(picture(72, 104))
    found = (
        hashlib.sha256(tokens.ids.tobytes()).hexdigest()[:16],
        hashlib.sha256(tokenizer.detokenize(tokens).pixels.tobytes()).hexdigest()[:16],
    )
    assert found == golden[name]


@pytest.fixture
def golden() -> dict[str, tuple[str, str]]:
    lines = (Path(__file__).parent / "golden.txt").read_text().splitlines()
    return {name: (ids, pixels) for name, ids, pixels in map(str.split, lines)}


@pytest.mark.parametrize("name", NAMES)
def test_float_products_do_not_decide(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of other sizes add in another order, float64 in another type: nothing differs."""
    from narrows.nets import exact

    tokenizer = registry.tokenizer(name)
    given = picture(48, 48)
    tokens = tokenizer.tokenize(given)
    back = tokenizer.detokenize(tokens)
    monkeypatch.setattr(exact, "_BLOCK", 7)
    monkeypatch.setattr(exact.IntegerLayer, "dtype", np.float64)
    again = image.ImageTokenizer(name)
    assert np.array_equal(again.tokenize(given).ids, tokens.ids)
    assert np.array_equal(again.detokenize(tokens).pixels, back.pixels)


@pytest.mark.parametrize("name", NAMES)
def test_every_sum_is_proved_to_be_exact(name: str) -> None:
    stack = registry.tokenizer(name).stack
    for network in (*stack.encoder, *stack.decoder):
        for layer in network.layers:
            assert layer.largest_sum < (2**24 if layer.dtype is np.float32 else 2**53)


def test_bits_of_an_id_are_most_significant_first() -> None:
    bits = np.where(np.random.default_rng(1).random((16, 50)) < 0.5, 1, -1)
    ids = image.pack(bits)
    assert ids.tolist() == [int("".join("1" if b > 0 else "0" for b in column), 2) for column in bits.T]
    assert np.array_equal(image.unpack(ids, 16), bits)


@pytest.mark.parametrize("name", NAMES)
def test_rates_and_symbols_outside_are_refused(name: str) -> None:
    stack = registry.tokenizer(name).stack
    with pytest.raises(ValueError, match="rate"):
        stack.check_rate(0)
    with pytest.raises(ValueError, match="rate"):
        stack.check_rate(10**6)
    rate = stack.rate_of(100)
    wrong = np.full((stack.rows(rate), 2, 2), 0 if stack.is_binary else 128)
    with pytest.raises(ValueError, match=r"bit is|beyond"):
        stack.dequantize(wrong, rate)
    with pytest.raises(ValueError, match="symbols are"):
        stack.dequantize(wrong[:-1], rate)


def test_tokens_that_do_not_fit_are_refused(tokenizer: Any) -> None:
    tokens = tokenizer.tokenize(picture(16, 16))
    with pytest.raises(ValueError, match="lacks"):
        tokenizer.detokenize(Tokens(tokens.ids, tokens.vocab_size))
    with pytest.raises(ValueError, match="vocabulary"):
        tokenizer.detokenize(Tokens(tokens.ids, tokens.vocab_size + 1, tokens.meta))
    with pytest.raises(ValueError, match="has 4 ids"):
        tokenizer.detokenize(Tokens(tokens.ids[:, :3], tokens.vocab_size, tokens.meta))
    with pytest.raises(ValueError, match="go together"):
        tokenizer.detokenize(Tokens(tokens.ids, tokens.vocab_size, {**tokens.meta, "grid": [1, 4]}))
    height, width, channels, depth = tokens.meta["dims"]
    for bad in ([0, 0, channels, depth], [-8, -8, channels, depth], [height, width, channels, 10**5]):
        grid = [-(-side // 8) for side in bad[:2]]
        ids = tokens.ids[:, : grid[0] * grid[1]]
        with pytest.raises(ValueError, match="of no picture"):
            tokenizer.detokenize(Tokens(ids, tokens.vocab_size, {**tokens.meta, "dims": bad, "grid": grid}))
    with pytest.raises(ValueError, match="lacks"):
        tokenizer.detokenize(Tokens(tokens.ids, tokens.vocab_size, {**tokens.meta, "rate": float("inf")}))
    with pytest.raises(OptionError):
        tokenizer.tokenize(picture(8, 8), 101)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_no_tokenizer_are_refused(name: str) -> None:
    arrays = models.load(f"tokens/{name}", image.MODELS[name])
    for missing in ("kind", "rates", "decoder.linear.0.weight", "prior.taps", "prior.0.bias"):
        with pytest.raises(ModelError):
            image.Stack.from_arrays({key: value for key, value in arrays.items() if key != missing})
    with pytest.raises(ModelError):
        image.Stack.from_arrays({**arrays, "kind": np.array([9])})
    for key, value in arrays.items():
        if key in ("code", "feedback", "rates") or (key.endswith(".weight") and "coder" in key):
            for bad in (value[..., :-1], value[:0], value[:-1]):
                with pytest.raises(ModelError):
                    image.Stack.from_arrays({**arrays, key: bad})
    for rates in ((0, 0), (0, 2), (-5, 7), (1, 1 << 20)):
        with pytest.raises(ModelError):
            image.Stack.from_arrays({**arrays, "rates": np.array(rates, np.int32)})
    with pytest.raises(ModelError, match="are of"):
        image.ImageTokenizer("vae" if name != "vae" else "vq", image.Stack.from_arrays(arrays))
    with pytest.raises(OptionError):
        image.ImageTokenizer("none")


@pytest.mark.parametrize("name", NAMES)
def test_streams_that_lie_are_corrupt(name: str) -> None:
    codec = registry.codec(f"tokens/{name}")
    header, chunks = codec.encode(picture(24, 24), codec.options())
    kept = list(chunks)
    source = Reader(narrows.encode(picture(24, 24), f"tokens/{name}"))

    class Given:
        partial = False

        def __iter__(self) -> Any:
            return iter(kept)

    from dataclasses import replace

    for params in (b"", b"\0", header.params + b"\0", b"\xff\xff\xff\x7f"):
        with pytest.raises(CorruptStream):
            codec.decode(replace(header, params=params), Given(), narrows.contracts.Want())
    with pytest.raises(CorruptStream):
        codec.decode(replace(header, model=b""), Given(), narrows.contracts.Want())
    other = image.MODELS["vae" if name != "vae" else "wae"]
    with pytest.raises(CorruptStream, match="model is of"):
        codec.decode(replace(header, model=bytes.fromhex(other)), Given(), narrows.contracts.Want())
    assert source.header.params == header.params


def test_no_torch_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch':\n"
        "            raise ImportError('not here', name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import numpy, narrows\n"
        f"for name in {NAMES}:\n"
        "    data = narrows.encode(numpy.zeros((9, 9, 3), numpy.uint8), 'tokens/' + name)\n"
        "    assert narrows.decode(data).pixels.shape == (9, 9, 3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
