"""Sign codes of a latent: LFQ (Yu et al. 2023, arXiv 2310.05737) and what BSQ shares with it."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Bottleneck, Relaxed, check_symbols, straight_through
from narrows.bottlenecks.prior import Histogram
from narrows.entropy import Tables
from narrows.errors import OptionError


def pack(bits: Tensor) -> Tensor:
    """Return bits [batch, length, ...] as uint64 ids [batch, ...], the first bit the most significant.

    Exact for lengths to 64, whatever the model's precision: integers throughout. ValueError above that, and
    for what is no bit.

    >>> pack(torch.tensor([[1, 0, 1]])).tolist()
    [5]
    """
    if bits.ndim < 2 or not 1 <= bits.shape[1] <= 64:
        raise ValueError("bits are [batch, length, ...] with a length of 1 to 64")
    check_symbols(bits, bits.shape[1], 2)
    ids = torch.zeros_like(bits[:, 0], dtype=torch.int64)
    for bit in bits.unbind(1):
        ids = ids << 1 | bit.long()
    return ids.view(torch.uint64)


def unpack(ids: Tensor, length: int) -> Tensor:
    """Return the bits [batch, length, ...] of `ids` [batch, ...], any integers: the inverse of `pack`.

    >>> unpack(torch.tensor([5]), 4).tolist()
    [[0, 1, 0, 1]]
    """
    if not 1 <= length <= 64:
        raise ValueError("a length is 1 to 64")
    wide = ids.view(torch.int64) if ids.dtype == torch.uint64 else ids.long()
    if length < 64 and bool((wide >> length != 0).any()):
        raise ValueError(f"an id has more than {length} bits")
    return torch.stack([wide >> (length - 1 - j) & 1 for j in range(length)], 1)


def soft_bit_entropy(p: Tensor) -> Tensor:
    """Return the entropy of each bit that is 1 with probability `p`, in nats; finite slopes at 0 and 1.

    >>> [round(v, 4) for v in soft_bit_entropy(torch.tensor([0.5, 0.9])).tolist()]
    [0.6931, 0.3251]
    """
    return -(_times_log(p) + _times_log(1 - p))


def usage_entropy(p: Tensor, group: int = 9) -> Tensor:
    """Return the entropy of the mean of the codes' distributions, in nats, summed over groups of bits.

    `p` [items, length] are probabilities of independent bits. Within a group of `group` bits the mean over
    items is taken of the joint distribution (2**group codes); groups count as independent of each other.

    >>> p = torch.tensor([[0.0, 0.0], [1.0, 1.0]])  # two codes in use, 00 and 11
    >>> [round(float(usage_entropy(p, group)), 4) for group in (2, 1)]  # alone, bits seem independent
    [0.6931, 1.3863]
    """
    total = p.new_zeros(())
    for part in p.split(group, dim=1):
        joint = torch.ones_like(part[:, :1])
        for bit in part.unbind(1):
            joint = torch.cat([joint * (1 - bit)[:, None], joint * bit[:, None]], dim=1)
        total = total - _times_log(joint.mean(0)).sum()
    return total


def _times_log(p: Tensor) -> Tensor:
    """Return p log p. xlogy has the slope -inf at 0, and a saturated sigmoid makes NaN of it."""
    return p * p.clamp(min=torch.finfo(p.dtype).tiny).log()


class SignCode(Bottleneck):
    """Bits that are the signs of the latent, [batch, length, ...]: 1 where it is above zero."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        if length < 1:
            raise OptionError("a code has at least one bit")
        self.length = length
        self.prior = Histogram(length, 2)

    def _symbols(self, z: Tensor) -> Tensor:
        return (z > 0).long()

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, self.length, 2)
        return (2 * symbols.long() - 1).float() * self.scale

    @property
    def scale(self) -> float:
        """The magnitude of every value."""
        return 1.0

    def tables(self) -> Tables:
        return self.prior.tables()

    def _entropies(self, logits: Tensor, group: int) -> dict[str, Tensor]:
        """Return the mean entropy of an item's code and the entropy of the mean, from the bits' logits."""
        flat = torch.sigmoid(logits.float()).transpose(1, -1).reshape(-1, self.length)
        return {"entropy": soft_bit_entropy(flat).sum(1).mean(), "usage": usage_entropy(flat, group)}


class LFQ(SignCode):
    """Lookup-free quantization: each channel's sign, decoded as +-1.

    Training gives `losses["entropy"]`, how undecided codes are, and `losses["usage"]`, the entropy of their
    mean (in nats; minimize the first minus the second), with probabilities proportional to exp(2 tau c.z).
    OptionError for a codebook size that is no power of two.

    >>> code = LFQ.of_size(1 << 28)
    >>> bits = code.quantize(torch.randn(2, 28))
    >>> pack(bits).dtype, torch.equal(unpack(pack(bits), 28), bits)
    (torch.uint64, True)
    >>> sorted(code.relax(torch.randn(2, 28)).losses)
    ['entropy', 'usage']
    """

    def __init__(self, length: int, *, tau: float = 1.0, group: int = 9) -> None:
        super().__init__(length)
        self.tau, self.group = tau, group

    @classmethod
    def of_size(cls, codebook_size: int, *, tau: float = 1.0, group: int = 9) -> LFQ:
        """The code of `codebook_size` ids, a power of two."""
        if codebook_size < 2 or codebook_size & (codebook_size - 1):
            raise OptionError(f"the size of an LFQ codebook is a power of two, not {codebook_size}")
        return cls(codebook_size.bit_length() - 1, tau=tau, group=group)

    def _relaxed(self, z: Tensor) -> Relaxed:
        symbols = self._symbols(z)
        self.prior.observe(symbols)
        losses = self._entropies(4 * self.tau * z, self.group)
        hard = self.dequantize(symbols).to(z.dtype)
        return Relaxed(straight_through(hard, z), self.prior.cost_bits(symbols), losses)
