"""The white-box transformer block and its decoder twin (CRATE, arXiv 2306.01129; arXiv 2311.13110).

Tokens are columns: tensors are [batch, dim, tokens]. Subspaces are parts of one orthonormal-like matrix U,
[dim, heads * p], used as query, key, value and output, as the derivation has it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from narrows.errors import OptionError


def subspace_attention(z: Tensor, basis: Tensor, heads: int, scale: float = 1.0) -> Tensor:
    """Return the sum over subspaces of U_k (U_k' z) softmax(scale (U_k' z)' (U_k' z)), columns soft-maxed.

    >>> z = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]])
    >>> [round(v, 4) for v in subspace_attention(z, torch.eye(2), 1)[0, 0].tolist()]
    [0.8446, 0.5777, 0.7881]
    """
    parts = torch.einsum("dk,bdt->bkt", basis, z).unflatten(1, (heads, -1))
    attention = torch.softmax(scale * parts.transpose(2, 3) @ parts, 2)
    return torch.einsum("dk,bkt->bdt", basis, (parts @ attention).flatten(1, 2))


def ista_step(z: Tensor, dictionary: Tensor, step: float = 0.1, lam: float = 0.1) -> Tensor:
    """Return relu(z + step D'(z - D z) - step lambda): one proximal step to a sparser code of z.

    >>> z, dictionary = torch.tensor([[[1.0], [0.5]]]), torch.tensor([[1.0, 0.6], [0.0, 0.8]])
    >>> [round(v, 3) for v in ista_step(z, dictionary)[0, :, 0].tolist()]
    [0.96, 0.48]
    """
    residual = z - torch.einsum("de,bet->bdt", dictionary, z)
    return F.relu(z + step * torch.einsum("de,bdt->bet", dictionary, residual) - step * lam)


class CrateBlock(nn.Module):
    """One encoder layer: compress against the subspaces, then sparsify; each on a layer-normalized input.

    >>> CrateBlock(8, 2)(torch.randn(1, 8, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, dim: int, heads: int, *, step: float = 0.1, lam: float = 0.1) -> None:
        super().__init__()
        if dim < 1 or heads < 1 or dim % heads:
            raise OptionError("the heads share the dimensions evenly")
        self.heads, self.step, self.lam = heads, step, lam
        self.compress_norm, self.sparsify_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.basis = nn.Parameter(torch.empty(dim, dim))
        self.dictionary = nn.Parameter(torch.empty(dim, dim))
        nn.init.orthogonal_(self.basis)
        nn.init.orthogonal_(self.dictionary)

    def forward(self, z: Tensor) -> Tensor:
        normal = self.compress_norm(z.transpose(1, 2)).transpose(1, 2)
        scale = (self.basis.shape[1] // self.heads) ** -0.5
        z = z + subspace_attention(normal, self.basis, self.heads, scale)
        normal = self.sparsify_norm(z.transpose(1, 2)).transpose(1, 2)
        return ista_step(normal, self.dictionary, self.step, self.lam)


class CrateDecoderBlock(nn.Module):
    """The layer's twin in a decoder: undo the sparsifying dictionary, then expand against the subspaces.

    >>> CrateDecoderBlock(8, 2)(torch.randn(1, 8, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim < 1 or heads < 1 or dim % heads:
            raise OptionError("the heads share the dimensions evenly")
        self.heads = heads
        self.dictionary_norm, self.expand_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dictionary = nn.Parameter(torch.empty(dim, dim))
        self.basis = nn.Parameter(torch.empty(dim, dim))
        nn.init.orthogonal_(self.dictionary)
        nn.init.orthogonal_(self.basis)

    def forward(self, z: Tensor) -> Tensor:
        normal = self.dictionary_norm(z.transpose(1, 2)).transpose(1, 2)
        z = torch.einsum("de,bet->bdt", self.dictionary, normal)
        normal = self.expand_norm(z.transpose(1, 2)).transpose(1, 2)
        scale = (self.basis.shape[1] // self.heads) ** -0.5
        return z - subspace_attention(normal, self.basis, self.heads, scale)
