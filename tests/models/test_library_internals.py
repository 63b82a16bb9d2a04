"""Private names of libraries that this package uses: each is named here, so that an upgrade that drops one says so.

Public names with the same meaning did not exist in the pinned versions; a comment at each place of use says why.
"""

import pytorch_lightning as pl
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def test_torch_cpu_reports_bfloat16_instructions():
    """`models.fast`: float32 or bfloat16 on this processor."""
    assert isinstance(torch.cpu._is_amx_tile_supported(), bool)
    assert isinstance(torch.cpu._is_avx512_bf16_supported(), bool)


def test_a_storage_has_a_key():
    """`models.cost.measure`: which tensors share a storage, with and without numbers."""
    whole = torch.zeros(4)
    keys = [tensor.untyped_storage()._cdata for tensor in (whole, whole[1:], torch.zeros(4))]
    assert keys[0] == keys[1] != keys[2]


def test_fake_tensors_run_operators_without_numbers():
    """`models.cost.measure`: counts on the device "shapes"."""
    with FakeTensorMode() as shapes:
        shape = (shapes.from_tensor(torch.zeros(2, 3)) @ torch.zeros(3, 5)).shape
    assert tuple(shape) == (2, 5)
    assert tree_leaves(({"a": 1}, [2])) == [1, 2]
    assert callable(TorchDispatchMode.__torch_dispatch__)


def test_operators_that_are_counted_exist():
    """`models.cost.measure`: warps and attention, by the operators that a CPU runs."""
    for name in ("_embedding_bag", "_embedding_bag_forward_only", "_scaled_dot_product_flash_attention_for_cpu"):
        assert hasattr(torch.ops.aten, name), name


def test_lightning_s_validation_loop_starts_anew_on_request():
    """`training.trainer.keeper`: a resumed run validates from the first clip."""
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    validation = trainer.fit_loop.epoch_loop.val_loop
    assert validation.restarting is False
    validation.restarting = True
    assert validation.restarting is True
    assert callable(validation.run)
