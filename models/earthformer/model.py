"""Earthformer's encoder and decoder, each over several resolutions."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from core.errors import InputError
from models.checks import require_positive
from models.direct import DirectModel
from models.earthformer.blocks import CrossBlock, PatchMerge, Positions, SelfBlock, Upsample, conv_layer
from models.earthformer.cuboids import PATTERNS, Size

RECURRENT_LAYERS = 6
"""Default `num_layers` of `build_model`, meant for recurrent stacks; Earthformer accepts no other number."""


class Level(nn.Module):
    """All blocks of one resolution: the encoder's, and the decoder's, which attend to the encoder's result."""

    def __init__(
        self, encoder: Iterable[SelfBlock], selves: Iterable[SelfBlock], crosses: Iterable[CrossBlock]
    ) -> None:
        super().__init__()
        self.encoder, self.selves, self.crosses = nn.ModuleList(encoder), nn.ModuleList(selves), nn.ModuleList(crosses)


class Earthformer(DirectModel):
    """Earthformer (Gao et al. 2022, NeurIPS, arXiv:2207.05833): hierarchical, non-autoregressive, cuboid attention.

    The defaults are its public Moving-MNIST configuration: 64 channels, two resolutions of four blocks in the encoder
    and in the decoder, axial cuboids, cross-attention inside a cell, no global vectors, first halving by the stem. The
    decoder starts from positions alone, so that the coarsest level needs no self-attention before its first attention
    to the encoder; a linear map of zeros, with which the published program starts, is left out.

    Args:
        in_channels: channels of a frame.
        hidden_channels: at the finest attention; every coarser level has twice as many.
        num_layers: must be the default of 6, which is meant for recurrent stacks; this model has `depth`.
        kernel_size: of all convolutions.
        input_steps: frames in.
        lead_steps: frames that a pass returns; None means as many as it takes.
        depth: blocks per level, in the encoder and in the decoder.
        levels: resolutions.
        scale: how much coarser than the pixels the finest attention is.
        pattern: axial, divided, local-dilated: see `PATTERNS`.
        heads: of every attention.
        global_vectors: number of vectors that the encoder's attentions share; 0 means none.
        position_size: rows and columns of the fields for which positions are learned; for other sizes they are
            interpolated.
        dropout: of attention weights and of every linear result.
        residual: see `DirectModel`.

    Raises:
        InputError: an impossible number.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        hidden_channels: int = 64,
        num_layers: int = RECURRENT_LAYERS,
        kernel_size: int = 3,
        input_steps: int = 10,
        lead_steps: int | None = None,
        depth: int = 4,
        levels: int = 2,
        scale: int = 2,
        pattern: str = "axial",
        heads: int = 4,
        global_vectors: int = 0,
        position_size: int = 64,
        dropout: float = 0.1,
        residual: bool = False,
    ) -> None:
        leads = input_steps if lead_steps is None else lead_steps
        multiple = scale * 2 ** (max(levels, 1) - 1)
        require_positive(in_channels=in_channels, input_steps=input_steps, lead_steps=leads)
        require_positive(hidden_channels=hidden_channels, depth=depth, levels=levels, scale=scale, heads=heads)
        _check(num_layers, kernel_size, hidden_channels, heads, position_size, multiple, global_vectors)
        super().__init__(in_channels=in_channels, input_steps=input_steps, multiple=multiple, residual=residual)
        self.leads, self.heads, self.depth, self.dropout = leads, heads, depth, dropout
        self.pattern = PATTERNS.get(pattern)
        channels = [hidden_channels * 2**n for n in range(levels)]
        edges = [position_size // scale // 2**n for n in range(levels)]
        self._build(in_channels, channels, edges, kernel_size, scale, global_vectors)

    def _build(
        self, in_channels: int, channels: list[int], edges: list[int], kernel_size: int, scale: int, global_vectors: int
    ) -> None:
        """Build all parts in the order in which initial weights are drawn, so that a seed always gives one model."""
        c = channels[0]
        self._build_entry(in_channels, channels, edges, kernel_size, scale)
        self._build_levels(channels, edges, kernel_size, with_globals=global_vectors > 0)
        self._build_exit(in_channels, c, kernel_size, scale)
        self.globals_GC = nn.Parameter(torch.empty(global_vectors, c)) if global_vectors else None
        if self.globals_GC is not None:
            nn.init.trunc_normal_(self.globals_GC, std=0.02)

    def _build_entry(
        self, in_channels: int, channels: list[int], edges: list[int], kernel_size: int, scale: int
    ) -> None:
        c = channels[0]
        self.stem = nn.Sequential(conv_layer(in_channels, c, kernel_size), conv_layer(c, c, kernel_size))
        self.first_merge = PatchMerge(c, c, scale)
        self.positions = Positions((self.input_steps, edges[0], edges[0]), c)
        self.lead_positions = Positions((self.leads, edges[-1], edges[-1]), channels[-1])

    def _build_levels(self, channels: list[int], edges: list[int], kernel_size: int, *, with_globals: bool) -> None:
        coarsest = len(channels) - 1
        self.levels = nn.ModuleList(
            self._level(channels[n], edges[n], is_coarsest=n == coarsest, with_globals=with_globals)
            for n in range(len(channels))
        )
        self.merges = nn.ModuleList(PatchMerge(k, 2 * k, 2) for k in channels[:-1])
        self.upsamples = nn.ModuleList(Upsample(2 * k, k, kernel_size, 2) for k in channels[:-1])
        self.global_merges = nn.ModuleList(nn.Linear(k, 2 * k) for k in (channels[:-1] if with_globals else []))

    def _build_exit(self, in_channels: int, c: int, kernel_size: int, scale: int) -> None:
        self.last_upsample = Upsample(c, c, kernel_size, scale)
        self.tail = nn.Sequential(
            conv_layer(c, c, kernel_size), conv_layer(c, c, kernel_size), nn.Conv2d(c, in_channels, 1)
        )

    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """Map `input_steps` frames to the frames that one pass returns."""
        x_BTCHW = torch.unflatten(self._part(self.stem, frames_BTCHW.flatten(0, 1)), 0, frames_BTCHW.shape[:2])
        encoded = self._encode(self.first_merge(x_BTCHW.permute(0, 1, 3, 4, 2)))
        rows, columns = encoded[-1].shape[2:4]
        x_BTHWC = self.lead_positions(rows, columns).expand(frames_BTCHW.shape[0], -1, -1, -1, -1)
        for n in reversed(range(len(encoded))):
            level = cast(Level, self.levels[n])
            selves = [None] * (len(level.crosses) - len(level.selves)) + list(level.selves)
            for block, cross in zip(selves, level.crosses, strict=True):
                x_BTHWC = x_BTHWC if block is None else self._part(block, x_BTHWC)[0]
                x_BTHWC = self._part(cross, x_BTHWC, encoded[n])
            x_BTHWC = self.upsamples[n - 1](x_BTHWC) if n else x_BTHWC
        x_BTHWC = self.last_upsample(x_BTHWC)
        y_BCHW = self._part(self.tail, x_BTHWC.permute(0, 1, 4, 2, 3).flatten(0, 1))
        return torch.unflatten(y_BCHW, 0, x_BTHWC.shape[:2])

    def _encode(self, x_BTHWC: Tensor) -> list[Tensor]:
        """Return the result of every level, the finest first."""
        x_BTHWC = x_BTHWC + self.positions(*x_BTHWC.shape[2:4])
        globals_BGC = None if self.globals_GC is None else self.globals_GC.expand(x_BTHWC.shape[0], -1, -1)
        encoded: list[Tensor] = []
        for n, level in enumerate(self.levels):
            if n:
                x_BTHWC = self.merges[n - 1](x_BTHWC)
                globals_BGC = None if globals_BGC is None else self.global_merges[n - 1](globals_BGC)
            for block in cast(Level, level).encoder:
                x_BTHWC, globals_BGC = self._part(block, x_BTHWC, globals_BGC)
            encoded.append(x_BTHWC)
        return encoded

    def _level(self, channels: int, edge: int, *, is_coarsest: bool, with_globals: bool) -> Level:
        where = (edge, edge)
        depth, steps = self.depth, max(self.input_steps, self.leads)
        return Level(
            (
                self._block(channels, (self.input_steps, *where), with_globals, is_coarsest and n == depth - 1)
                for n in range(depth)
            ),
            (self._block(channels, (self.leads, *where)) for _ in range(depth - is_coarsest)),
            (CrossBlock(channels, self.heads, steps, self.dropout) for _ in range(depth)),
        )

    def _block(self, channels: int, where: Size, with_globals: bool = False, is_last: bool = False) -> SelfBlock:
        return SelfBlock(
            channels, self.heads, self.pattern, where, self.dropout, global_vectors=with_globals, is_last=is_last
        )


def _check(
    num_layers: int, kernel_size: int, hidden: int, heads: int, size: int, multiple: int, global_vectors: int
) -> None:
    if num_layers != RECURRENT_LAYERS:
        raise InputError(
            f"num_layers of earthformer: expected {RECURRENT_LAYERS}, got {num_layers}; its option depth is the number "
            "of blocks per level"
        )
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise InputError(f"kernel_size of earthformer: expected an odd number, got {kernel_size}")
    if hidden % heads:
        raise InputError(f"hidden_channels of earthformer: expected a multiple of its {heads} heads, got {hidden}")
    if size < multiple or size % multiple or global_vectors < 0:
        raise InputError(
            f"earthformer: expected position_size to be a multiple of {multiple} and global_vectors at least 0, got "
            f"position_size={size}, global_vectors={global_vectors}"
        )
