"""The entropy coder: integer tables, interleaved rANS for arrays, a range coder for packets, entropy models.

>>> import numpy as np
>>> from narrows import entropy
>>> tables = entropy.Tables.from_pmf([[0.25, 0.5, 0.25]], offsets=[-1])
>>> symbols = np.array([0, 1, 0, -1, 1000], np.int32)
>>> index = np.zeros(5, np.uint8)
>>> payload = entropy.encode(symbols, index, tables)
>>> entropy.decode(payload, index, tables).tolist()
[0, 1, 0, -1, 1000]

The bytes depend on the arguments alone: not on threads, processor or batch. `docs/format.md` defines them and
`narrows.entropy.reference` is the same in plain Python.
"""

from narrows.entropy.autoregressive import Autoregressive, Layer, identity_map, magnitude_map
from narrows.entropy.coder import (
    Adaptive,
    AdaptiveBits,
    Chunk,
    RangeDecoder,
    RangeEncoder,
    chunks,
    decode,
    decode_packed,
    encode,
    encode_packed,
)
from narrows.entropy.distributions import ScaleFamily, cumulative, scale_family
from narrows.entropy.entries import entry_index
from narrows.entropy.models import (
    ChannelGroups,
    Checkerboard,
    EntropyModel,
    Hyperprior,
    Plan,
    Static,
    decode_symbols,
    encode_symbols,
)
from narrows.entropy.pointwise import Categorical, Mixture, mixture_tables
from narrows.entropy.stack import Stack
from narrows.entropy.tables import Tables

__all__ = [
    "Adaptive",
    "AdaptiveBits",
    "Autoregressive",
    "Categorical",
    "ChannelGroups",
    "Checkerboard",
    "Chunk",
    "EntropyModel",
    "Hyperprior",
    "Layer",
    "Mixture",
    "Plan",
    "RangeDecoder",
    "RangeEncoder",
    "ScaleFamily",
    "Stack",
    "Static",
    "Tables",
    "chunks",
    "cumulative",
    "decode",
    "decode_packed",
    "decode_symbols",
    "encode",
    "encode_packed",
    "encode_symbols",
    "entry_index",
    "identity_map",
    "magnitude_map",
    "mixture_tables",
    "scale_family",
]
