"""Semantic correspondence convolution (Fan, Lam, Li, AAAI 2020, section 3.2), factorised.

Graph nodes are feature channels; a node's vector f_i is its flattened map (D values). The layer is

    out_i = max over j in kNN(i) of ReLU(BN(W [f_i, f_j - f_i])),    W = [A, B]

and W [f_i, f_j - f_i] = (A - B) f_i + B f_j = u_i + v_j, so the projection runs once per node
instead of once per edge, and the (N, 2D, C, k) tensor of edge features never exists. Maps are
smooth, so W may pass through few directions: of 1024, 64 changed readings by .003 on average.
"""

from typing import Any

import torch
from torch import Tensor, nn

# A residual branch must begin near zero; at exactly zero its ReLU would sit on the flat side of
# its corner, pass no gradient, and never start to learn.
RESIDUAL_INIT = 0.1


class SCC(nn.Module):
    """Dynamic graph convolution over channels.

    size: side of the square maps, D = size * size. k: neighbours, the node itself among them.
    rank: directions through which W passes; 0 lets it be any matrix, as in the paper.
    forward: x (N, C, size, size) -> same shape, >= 0; with ``residual`` x + that.
    Raises ValueError where the maps have another size or there are fewer than k channels.
    """

    def __init__(self, size: int, k: int = 7, residual: bool = False, rank: int = 0) -> None:
        super().__init__()
        self.size, self.k, self.residual, self.rank = size, k, residual, rank
        nodes = size * size
        if rank:
            self.inner = nn.Linear(nodes, rank, bias=False)
            self.outer = nn.Linear(rank, 2 * nodes, bias=False)
        else:
            self.conv = nn.Conv2d(2 * nodes, nodes, 1, bias=False)  # weight (D, 2D, 1, 1)
        self.bn = nn.BatchNorm2d(nodes)
        if residual:
            nn.init.constant_(self.bn.weight, RESIDUAL_INIT)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.fold()(x)
        nodes = _as_nodes(x, self.size, self.k)
        out = self._train_form(nodes, nearest_nodes(nodes, self.k))
        return _as_maps(nodes + out if self.residual else out, x)

    def fold(self) -> "FoldedSCC":
        """The layer as it is now for inference, its batch norm folded into the projection."""
        bn = self.bn
        assert bn.running_mean is not None and bn.running_var is not None
        scale = bn.weight * torch.rsqrt(bn.running_var + bn.eps)
        bias = bn.bias - scale * bn.running_mean
        weight = (self.outer.weight if self.rank else self.stacked()) * scale.repeat(2)[:, None]
        bias = torch.cat([bias, torch.zeros_like(bias)])
        inner = self.inner.weight if self.rank else None
        return FoldedSCC(self.size, self.k, self.residual, weight, bias, inner)

    def stacked(self) -> Tensor:
        """(2D, D): rows of A - B, then rows of B."""
        if self.rank:
            return self.outer.weight @ self.inner.weight
        a, b = self.conv.weight[:, :, 0, 0].chunk(2, 1)
        return torch.cat([a - b, b])

    def _train_form(self, f: Tensor, neighbours: Tensor) -> Tensor:
        """Batch statistics over all edges, from sums over nodes. f: (N, C, D) -> float32."""
        if self.rank:
            projected = self.outer(self.inner(f))  # (N, C, 2D)
        else:
            projected = nn.functional.linear(f, self.stacked())
        with torch.autocast(f.device.type, enabled=False):
            out, mean, var = _NormalisedMax.apply(
                projected, self.bn.weight, self.bn.bias, neighbours, self.bn.eps
            )
        self._track(mean, var, neighbours.numel())
        return out

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, edges: int) -> None:
        """Running statistics as ``nn.BatchNorm2d`` keeps them (unbiased variance)."""
        bn = self.bn
        if bn.running_mean is None or bn.running_var is None or bn.num_batches_tracked is None:
            return
        bn.num_batches_tracked.add_(1)
        momentum = bn.momentum
        if momentum is None:
            momentum = 1.0 / float(bn.num_batches_tracked)
        bn.running_mean.lerp_(mean.to(bn.running_mean.dtype), momentum)
        unbiased = var * (edges / max(edges - 1, 1))
        bn.running_var.lerp_(unbiased.to(bn.running_var.dtype), momentum)


class FoldedSCC(nn.Module):
    """What an :class:`SCC` does outside training, in operators that exporters know.

    weight: (2D, D). bias: (2D,). With inner (r, D), weight is (2D, r). All constants.
    """

    weight: Tensor
    bias: Tensor
    inner: Tensor | None

    def __init__(
        self,
        size: int,
        k: int,
        residual: bool,
        weight: Tensor,
        bias: Tensor,
        inner: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.size, self.k, self.residual = size, k, residual
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("inner", inner)

    def forward(self, x: Tensor) -> Tensor:
        nodes = _as_nodes(x, self.size, self.k)
        neighbours = nearest_nodes(nodes, self.k)
        seen = nodes if self.inner is None else nn.functional.linear(nodes, self.inner)
        u, v = nn.functional.linear(seen, self.weight, self.bias).chunk(2, 2)
        # The scale is inside v, so max is right for both of its signs. One neighbour at a time:
        # gathering all k first would fill k times the memory.
        rows = _rows_of(neighbours)
        best = _gather_rows(v, rows[0])
        for row in rows[1:]:
            best = torch.maximum(best, _gather_rows(v, row))
        out = torch.relu(u + best)
        return _as_maps(nodes + out if self.residual else out, x)


def _as_nodes(x: Tensor, size: int, k: int) -> Tensor:
    """Maps (N, C, size, size) as nodes (N, C, D). Raises ValueError for other maps."""
    n, c, height, width = x.shape
    if (height, width) != (size, size):
        raise ValueError(f"SCC was built for {size} px maps, got {width}x{height}")
    if c < k:
        raise ValueError(f"SCC needs at least k = {k} channels, got {c}")
    # Contiguous: one matrix product for all faces; a view of channels_last takes one for each.
    return x.reshape(n, c, -1).contiguous()


def _as_maps(nodes: Tensor, x: Tensor) -> Tensor:
    """Nodes (N, C, D) in the shape and type of maps x, in the order that convolutions want."""
    return nodes.to(x.dtype).view(x.shape).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def nearest_nodes(f: Tensor, k: int) -> Tensor:
    """k nearest nodes by squared Euclidean distance, the node itself among them.

    f: (N, C, D). Returns (N, C, k) int64. Always float32 or better: at bfloat16 the order of the
    neighbours would be noise. No gradient flows through the choice, as in the paper.
    """
    with torch.autocast(f.device.type, enabled=False):
        f = f.float() if f.dtype in (torch.bfloat16, torch.float16) else f
        f = f - f.mean(1, keepdim=True)  # distances stay, cancellation shrinks
        square = f.square().sum(2)  # (N, C)
        distance = torch.baddbmm(square.unsqueeze(1), f, f.transpose(1, 2), alpha=-2.0)
        # |f_i|^2 is the same for a whole row and cannot change its order.
        # Compared, because exporters turn torch.eye of booleans into something else.
        node = torch.arange(f.shape[1], device=f.device)
        distance = torch.where(node[:, None] == node, -torch.inf, distance)
        return distance.topk(k, 2, largest=False).indices


def _rows_of(neighbours: Tensor) -> tuple[Tensor, ...]:
    """Neighbours (N, C, k) as k times (N * C,) rows in a table of all nodes of the batch."""
    n, c, _ = neighbours.shape
    first = torch.arange(0, n * c, c, device=neighbours.device).view(n, 1, 1)
    return (neighbours + first).flatten(0, 1).T.contiguous().unbind(0)


def _gather_rows(v: Tensor, rows: Tensor) -> Tensor:
    """(N, C, D) of v (N, C, D) as one long table: ``torch.gather`` takes ten times as long."""
    return v.flatten(0, 1).index_select(0, rows).view(v.shape)


class _NormalisedMax(torch.autograd.Function):
    """max over j in kNN(i) of ReLU(BN(u_i + v_j)), with statistics over all edges of the batch.

    apply: (u, v) side by side (N, C, 2D), the norm's weight and bias (D,), neighbours (N, C, k) and
    eps -> the maximum (N, C, D), and the mean and variance (D,) of the edges, all float32.
    Written out with its gradient: left to autograd, a third of a training step went into it.
    """

    @staticmethod
    def forward(ctx: Any, uv: Tensor, weight: Tensor, bias: Tensor, neighbours: Tensor, eps: float):
        u, v = (half.float() for half in uv.chunk(2, 2))
        n, c, d = u.shape
        k, edges = neighbours.shape[2], neighbours.numel()
        adjacency = u.new_zeros(n, c, c).scatter_(2, neighbours, 1.0)
        degree = adjacency.sum(1)  # (N, C): how often a node is a neighbour
        mean_u = u.mean((0, 1))  # (D,)
        mean_v = degree.view(-1) @ v.reshape(-1, d) / edges
        # Centred before squaring: E[x^2] - E[x]^2 would lose the small variances.
        du, dv = u - mean_u, v - mean_v
        near = torch.bmm(adjacency, dv)  # (N, C, D): sum over the neighbours
        var = (torch.add(2 * near, du, alpha=k).mul_(du)).sum((0, 1))
        var = (var + degree.view(-1) @ dv.square().view(-1, d)) / edges
        rstd = torch.rsqrt(var + eps)
        # The scale may be negative, so the winner is chosen after it: max picks the min there.
        scaled = dv * (weight * rstd)
        rows = _rows_of(neighbours)
        best = _gather_rows(scaled, rows[0])
        rank = torch.zeros_like(best, dtype=torch.uint8)
        for r in range(1, k):
            rival = _gather_rows(scaled, rows[r])
            # Later ranks are larger; a masked fill of bytes would take ten times as long.
            rank = torch.maximum(rank, (rival > best).view(torch.uint8) * r)
            best = torch.maximum(best, rival)
        out = best.addcmul_(du, weight * rstd).add_(bias).relu_()
        ctx.save_for_backward(du, dv, near, rank, out, adjacency, neighbours, weight, rstd)
        ctx.dtype = uv.dtype
        ctx.mark_non_differentiable(mean := mean_u + mean_v, var)
        return out, mean, var

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any):  # type: ignore[override]
        du, dv, near, rank, out, adjacency, neighbours, weight, rstd = ctx.saved_tensors
        k, edges, degree = neighbours.shape[2], neighbours.numel(), adjacency.sum(1, keepdim=True)
        degree = degree.transpose(1, 2)  # (N, C, 1)
        g = torch.ops.aten.threshold_backward(grad.float(), out, 0)
        winner = neighbours.gather(2, rank.long())  # (N, C, D)
        won = torch.zeros_like(g).scatter_add_(1, winner, g)  # what arrives at v_j
        total = g.sum((0, 1))
        along = rstd * ((g * du).sum((0, 1)) + (won * dv).sum((0, 1)))  # sum of g times its edge
        scale, shift, slope = weight * rstd, total / edges, rstd * along / edges
        to_u = g.sub_(k * shift).sub_(near.add(du, alpha=k).mul_(slope)).mul_(scale)
        edge_sums = torch.baddbmm(degree * dv, adjacency.transpose(1, 2), du)
        to_v = won.sub_(degree * shift).sub_(edge_sums.mul_(slope)).mul_(scale)
        return torch.cat([to_u, to_v], 2).to(ctx.dtype), along, total, None, None
