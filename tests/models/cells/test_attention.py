"""Both attentions are exact to their plain forms, and the local one never holds the plain form's tensors."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from models.cells.cms_lstm import BlockAttention
from models.cells.local_attention import LocalAttention, local_attention


def _plain(q, k, v, window):
    """All windows unfolded: (B, C, window^2, H, W)."""
    batch, channels, height, width = q.shape
    before = window // 2
    around = (before, window - 1 - before) * 2
    keys, values = (F.unfold(F.pad(x, around), window).view(batch, channels, -1, height, width) for x in (k, v))
    weights = (q[:, :, None] * keys).sum(dim=1, keepdim=True).softmax(dim=2)
    return (weights * values).sum(dim=2)


@pytest.mark.parametrize("window", [1, 4, 7, 30])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (16, 17), (33, 31)])
def test_local_attention_is_the_plain_form(window, height, width):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True) for _ in range(3))
    weight = torch.randn(2, 3, height, width, dtype=torch.float64)
    tiled, plain = local_attention(q, k, v, window), _plain(q, k, v, window)
    torch.testing.assert_close(tiled, plain)
    gradients = [torch.autograd.grad((y * weight).sum(), (q, k, v)) for y in (tiled, plain)]
    torch.testing.assert_close(*gradients)


class _Largest(TorchDispatchMode):
    """Numbers in the largest tensor that any operation gives."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return result


def test_local_attention_never_holds_the_windows():
    attention, x_BCHW = LocalAttention(4), torch.randn(1, 4, 96, 96)
    with _Largest() as largest:
        attention(x_BCHW).sum().backward()
    assert largest.numel < 96 * 96 * 900 / 10


def test_local_attention_keeps_only_queries_keys_and_values():
    attention, x_BCHW = LocalAttention(4), torch.randn(1, 4, 48, 48)
    kept: dict[int, int] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        attention(x_BCHW)
    assert sum(kept.values()) < 4.1 * x_BCHW.untyped_storage().nbytes()  # x, q, k, v and the weights


def _plain_blocks(module, pair, scale):
    """One query at a time, with the pixels of its block as keys."""
    height, width = pair.shape[2], pair.shape[3] // 2
    rows, columns = -(-height // scale), -(-width // scale)
    q, k, v = (part(pair)[0].unflatten(2, (2, width)) for part in (module.query, module.key, module.value))
    out = pair[0].unflatten(2, (2, width)).clone()
    for i in range(height):
        for j in range(width):
            block = (slice(i // rows * rows, (i // rows + 1) * rows), slice(None), slice(j // columns * columns, None))
            keys, values = (x[:, *block][..., :columns].flatten(1) for x in (k, v))
            weights = torch.einsum("cm,ck->mk", q[:, i, :, j], keys).softmax(dim=1)
            out[:, i, :, j] += torch.einsum("mk,ck->cm", weights, values)
    return out.flatten(2)[None]


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 12), (5, 7), (1, 3)])
def test_block_attention_is_the_plain_form(scale, height, width):
    torch.manual_seed(0)
    module = BlockAttention(3, scale).double()
    pair = torch.randn(1, 3, height, 2 * width, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(module(pair), _plain_blocks(module, pair, scale))
    (gradient,) = torch.autograd.grad(module(pair).square().sum(), pair)
    (expected,) = torch.autograd.grad(_plain_blocks(module, pair, scale).square().sum(), pair)
    torch.testing.assert_close(gradient, expected)
