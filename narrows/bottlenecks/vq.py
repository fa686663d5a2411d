"""Vector quantization: the nearest of a learned codebook (van den Oord et al. 2017, arXiv 1711.00937)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.bottlenecks.bottleneck import Bottleneck, Relaxed, check_symbols, straight_through
from narrows.bottlenecks.prior import Histogram
from narrows.entropy import Tables
from narrows.errors import OptionError

_SMOOTHING = 1e-5
_DISTANCES = 1 << 19  # held at a time


def nearest(vectors: Tensor, codes: Tensor) -> Tensor:
    """Return the index of the code nearest to each of `vectors` [items, dim], ties to the lowest: int64.

    Distances are taken from the codebook's mean, where they cancel less, and the best two are compared again
    in float64.

    >>> nearest(torch.tensor([[0.9], [2.0]]), torch.tensor([[1.0], [3.0]])).tolist()
    [0, 0]
    """
    if len(codes) == 1:
        return torch.zeros(len(vectors), dtype=torch.int64, device=vectors.device)
    center = codes.mean(0)
    books = (codes - center).float()
    squares = books.square().sum(1)
    found = []
    # In parts, so that all distances at once need not fit in memory.
    for part in vectors.split(max(1, _DISTANCES // len(codes))):
        scores = torch.addmm(squares, (part - center).float(), books.T, alpha=-2)
        first = scores.argmin(1, keepdim=True)
        second = scores.scatter_(1, first, torch.inf).argmin(1, keepdim=True)
        best = torch.cat([first, second], 1).sort(1).values
        exact = (part.double()[:, None] - codes.double()[best]).square().sum(2)
        found.append(torch.where(exact[:, 1] < exact[:, 0], best[:, 1], best[:, 0]))
    return torch.cat(found)


class VQ(Bottleneck):
    """One codebook: vectors over the channels become ids, [batch, 1, ...], of `size` codes.

    The first training batch starts the codes by k-means; then each follows the mean of its vectors with decay
    `decay`, and a code that fewer than `revive_below` vectors a batch choose, averaged, moves to a vector of
    the batch. Nothing moves in eval mode. `losses["commitment"]` is the latent's mean squared distance to its
    codes. `seed` fixes every random choice. A size of 1 is legal and costs no bits; OptionError above 65,536.

    >>> code = VQ(8, 2)
    >>> z = torch.randn(4, 2, 64, generator=torch.Generator().manual_seed(0))
    >>> relaxed = code.relax(z)  # the first batch starts the codes; its commitment is a loss
    >>> sorted(relaxed.losses), relaxed.z_hat.shape
    (['commitment'], torch.Size([4, 2, 64]))
    >>> ids = code.eval().quantize(z)
    >>> ids.shape, bool((ids < 8).all())
    (torch.Size([4, 1, 64]), True)
    """

    codes: Tensor
    members: Tensor
    sums: Tensor
    started: Tensor

    def __init__(
        self, size: int, dim: int, *, decay: float = 0.99, revive_below: float = 2.0, seed: int = 0
    ) -> None:
        super().__init__(dim)
        if not 1 <= size <= 65536 or dim < 1:
            raise OptionError("a codebook has 1 to 65,536 codes of at least one dimension")
        self.size, self.dim, self.decay, self.revive_below = size, dim, decay, revive_below
        self.prior = Histogram(1, size)
        self.rng = torch.Generator().manual_seed(seed)
        codes = torch.randn(size, dim, generator=self.rng)
        self.register_buffer("codes", codes)
        self.register_buffer("members", torch.ones(size))
        self.register_buffer("sums", codes.clone())
        self.register_buffer("started", torch.tensor(False))

    def _symbols(self, z: Tensor) -> Tensor:
        return nearest(_rows(z), self.codes).reshape(len(z), 1, *z.shape[2:])

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, 1, self.size)
        return self.codes[symbols[:, 0].long()].movedim(-1, 1)

    def tables(self) -> Tables:
        return self.prior.tables()

    @torch.no_grad()
    def update(self, vectors: Tensor, ids: Tensor) -> None:
        """Move the codes towards the mean of the `vectors` [items, dim] that chose them by `ids` [items]."""
        count = torch.bincount(ids, minlength=self.size).to(self.members)
        total = torch.zeros_like(self.sums).index_add_(0, ids, vectors.to(self.sums))
        self.members.lerp_(count, 1 - self.decay)
        self.sums.lerp_(total, 1 - self.decay)
        everyone = self.members.sum()
        smooth = (self.members + _SMOOTHING) / (everyone + self.size * _SMOOTHING) * everyone
        self.codes.copy_(self.sums / smooth[:, None])

    @torch.no_grad()
    def revive(self, vectors: Tensor) -> int:
        """Move each code that hardly any vector chooses to one of `vectors`; return how many moved."""
        dead = torch.nonzero(self.members < self.revive_below)[:, 0]
        if len(dead):
            chosen = torch.randint(len(vectors), (len(dead),), generator=self.rng).to(vectors.device)
            self.codes[dead] = vectors[chosen].to(self.codes)
            self.members[dead] = self.revive_below
            self.sums[dead] = self.codes[dead] * self.revive_below
        return len(dead)

    @torch.no_grad()
    def start(self, vectors: Tensor, rounds: int = 10) -> None:
        """Set the codes by k-means of `vectors` [items, dim]; called with the first training batch."""
        order = torch.randperm(len(vectors), generator=self.rng)
        picked = order[torch.arange(self.size) % len(vectors)].to(vectors.device)
        codes = vectors[picked].to(self.codes)
        for _ in range(rounds):
            ids = nearest(vectors, codes)
            count = torch.bincount(ids, minlength=self.size)
            total = torch.zeros_like(codes).index_add_(0, ids, vectors.to(codes))
            codes = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], codes)
        self.codes.copy_(codes)
        self.members.fill_(max(self.revive_below, len(vectors) / self.size))
        self.sums.copy_(codes * self.members[:, None])
        self.started.fill_(True)

    def _relaxed(self, z: Tensor) -> Relaxed:
        vectors = _rows(z.detach())
        if not self.started:
            self.start(vectors)
        symbols = self._symbols(z.detach())
        hard = self.dequantize(symbols).to(z.dtype)
        commitment = (z - hard).square().mean()
        self.prior.observe(symbols)
        rate_bits = self.prior.cost_bits(symbols)
        self.update(vectors, symbols.reshape(-1))
        self.revive(vectors)
        return Relaxed(straight_through(hard, z), rate_bits, {"commitment": commitment})


class GumbelVQ(Bottleneck):
    """A codebook chosen by logits [batch, size, ...]: ids are [batch, 1, ...], codes [batch, dim, ...].

    Training samples the id with Gumbel noise and lets gradients pass through the softmax at `temperature`
    (Jang et al. 2017, arXiv 1611.01144), as VQ-APC does (Chung et al. 2020, arXiv 2005.08392); in eval mode
    the largest logit wins and no noise is drawn.

    >>> code = GumbelVQ(4, 3).eval()
    >>> logits = torch.tensor([[0.0, 3.0, 1.0, 2.0]])
    >>> code.quantize(logits).tolist(), code.relax(logits).z_hat.shape
    ([[1]], torch.Size([1, 3]))
    """

    def __init__(self, size: int, dim: int, *, temperature: float = 1.0, seed: int = 0) -> None:
        super().__init__(size)
        if not 1 <= size <= 65536 or dim < 1:
            raise OptionError("a codebook has 1 to 65,536 codes of at least one dimension")
        self.size, self.temperature = size, temperature
        self.rng = torch.Generator().manual_seed(seed)
        self.codes = nn.Parameter(torch.randn(size, dim, generator=self.rng))
        self.prior = Histogram(1, size)

    def _symbols(self, z: Tensor) -> Tensor:
        return z.argmax(1, keepdim=True)

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, 1, self.size)
        return self.codes[symbols[:, 0].long()].movedim(-1, 1)

    def tables(self) -> Tables:
        return self.prior.tables()

    def _relaxed(self, z: Tensor) -> Relaxed:
        uniform = torch.rand(z.shape, generator=self.rng, dtype=torch.float64)
        noise = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12)))
        soft = torch.softmax((z.double() + noise.to(z.device)) / self.temperature, 1).to(z.dtype)
        symbols = soft.detach().argmax(1, keepdim=True)
        self.prior.observe(symbols)
        hard = torch.zeros_like(soft).scatter_(1, symbols, 1.0)
        wide = torch.promote_types(soft.dtype, self.codes.dtype)
        z_hat = straight_through(hard, soft).movedim(1, -1).to(wide) @ self.codes.to(wide)
        return Relaxed(z_hat.movedim(-1, 1).to(z.dtype), self.prior.cost_bits(symbols))


def run_lengths(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values and the lengths of the runs of `ids` [time]: how ids that seldom change are sent.

    >>> import torch
    >>> [part.tolist() for part in run_lengths(torch.tensor([7, 7, 7, 2, 2, 7]))]
    [[7, 2, 7], [3, 2, 1]]
    """
    values, lengths = torch.unique_consecutive(ids, return_counts=True)
    return values, lengths


def prototype_terms(z: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared distance of codes to their nearest inputs, and of inputs to their codes.

    The first, as a loss, revives codes that no input is near (Li et al. 2018, arXiv 1710.04806). `z` is
    [items, dim], `codes` [size, dim].

    >>> of_codes, of_inputs = prototype_terms(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]]))
    >>> float(of_codes), float(of_inputs)
    (5.0, 1.0)
    """
    distance = (z[:, None] - codes).square().sum(2)
    return distance.min(0).values.mean(), distance.min(1).values.mean()


def _rows(z: Tensor) -> Tensor:
    """Return the vectors of a latent [batch, dim, ...] as [items, dim]."""
    return z.movedim(1, -1).reshape(-1, z.shape[1])
