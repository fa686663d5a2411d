"""Where a latent becomes symbols: one file a bottleneck, each a torch module of one interface.

>>> import torch
>>> from narrows import bottlenecks
>>> code = bottlenecks.FSQ([8, 5, 5, 5])
>>> z = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
>>> _ = code.relax(z)  # in training, for every batch: z_hat, rate_bits, losses
>>> symbols = code.eval().quantize(z)
>>> payload = code.encode(symbols)
>>> torch.equal(code.decode(payload, symbols.shape), symbols)
True
"""

from narrows.bottlenecks.bottleneck import Bottleneck, Relaxed
from narrows.bottlenecks.bsq import BSQ
from narrows.bottlenecks.fsq import FSQ
from narrows.bottlenecks.gaussian import FlowPrior, Gaussian, SoftFreeBits
from narrows.bottlenecks.lfq import LFQ, pack, unpack
from narrows.bottlenecks.rvq import RVQ, BinaryRVQ, ProductVQ
from narrows.bottlenecks.scalar import Scalar
from narrows.bottlenecks.select import Select
from narrows.bottlenecks.sign import Sign
from narrows.bottlenecks.sparse import Sparse
from narrows.bottlenecks.staircase import Staircase
from narrows.bottlenecks.vq import VQ, GumbelVQ
from narrows.bottlenecks.wae import WAE
from narrows.bottlenecks.wavelet import Companded

__all__ = [
    "BSQ",
    "FSQ",
    "LFQ",
    "RVQ",
    "VQ",
    "WAE",
    "BinaryRVQ",
    "Bottleneck",
    "Companded",
    "FlowPrior",
    "Gaussian",
    "GumbelVQ",
    "ProductVQ",
    "Relaxed",
    "Scalar",
    "Select",
    "Sign",
    "SoftFreeBits",
    "Sparse",
    "Staircase",
    "pack",
    "unpack",
]
