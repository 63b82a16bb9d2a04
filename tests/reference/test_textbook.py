"""The textbook equals the reference in its predictions and in what it saves for a gradient, and ours in its results."""

from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError, UnknownNameError
from models import build_model
from models.convert import load_reference
from models.cost import PAPER_CELLS, measuring_on
from tests.reference import build_textbook, copy_weights
from tests.reference.local_attention import Similarity, Weighting

OF_THE_PAPER = sorted(prefix + name for name in PAPER_CELLS for prefix in ("", "ms-"))
GOLDEN = {
    name.replace("+", "p"): name for name in OF_THE_PAPER if not name.endswith(("trajgru", "motionrnn"))
}  # the reference computes these two with defects


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)


def _pair(name: str, **sizes: int) -> tuple[Any, Any]:
    """Ours and the textbook with the same weights, twice as large as usual so that no gate stays near its middle."""
    ours, textbook = build_model(name, **sizes), build_textbook(name, **sizes)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.mul_(2)
    copy_weights(ours, textbook)
    return ours, textbook


@pytest.mark.parametrize("file_name", GOLDEN)
def test_predictions_of_the_reference(golden, file_name):
    file = np.load(golden / f"{file_name}.npz")
    ours: Any = build_model(GOLDEN[file_name], hidden_channels=8)
    textbook: Any = build_textbook(GOLDEN[file_name], hidden_channels=8)
    load_reference(ours, {name: torch.from_numpy(file[name]) for name in file.files if name.startswith("param/")})
    copy_weights(ours, textbook)
    with torch.no_grad():
        predictions = textbook.predict_all(torch.from_numpy(file["frames"][:, :3]), 3)
    np.testing.assert_allclose(predictions.numpy(), file["predictions"], atol=1e-5, rtol=0)


OF_EQUAL_WEIGHTS = {  # ms_rnn_facts.md, 11.16, exact warp: p_0 to p_3 at (16, 16), mean over all, p_3 at (0, 0)
    ("trajgru", 3, 64): (0.059378, 0.073226, 0.091188, 0.111526, 0.082186, 0.076175),
    ("trajgru", 5, 32): (0.059378, 0.073226, 0.091188, 0.111526, 0.081338, 0.071020),
    ("ms-trajgru", 3, 64): (0.064824, 0.086215, 0.109915, 0.132095, 0.095289, 0.084172),
    ("ms-trajgru", 5, 32): (0.064824, 0.086212, 0.109879, 0.132025, 0.093921, 0.078103),
    ("motionrnn",): (0.079705, 0.148213, 0.172120, 0.176788, 0.142465, 0.171808),
    ("ms-motionrnn",): (0.083427, 0.151397, 0.172725, 0.176885, 0.143672, 0.176390),
}


@pytest.mark.parametrize("case", OF_EQUAL_WEIGHTS)
def test_values_of_the_cells_without_a_golden_file(case):
    name, *flow = case
    model: Any = build_textbook(name, **dict(zip(("flow_kernel", "flow_channels"), flow, strict=False)))
    t, i, j = torch.meshgrid(torch.arange(3), torch.arange(32), torch.arange(32), indexing="ij")
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.fill_(0.05 if parameter_name.endswith("bias") else 0.002)
        p = model.predict_all((((3 * i + 5 * j + 7 * t) % 11) / 10)[None, :, None], 2)[0, :, 0]
    found = [*p[:, 16, 16].tolist(), p.mean().item(), p[3, 0, 0].item()]
    np.testing.assert_allclose(found, OF_EQUAL_WEIGHTS[case], atol=2e-6, rtol=0)


def test_forecast_is_the_last_of_all_predictions():
    textbook: Any = build_textbook("ms-predrnn", hidden_channels=4)
    frames_BTCHW = torch.rand(1, 3, 1, 8, 8)
    assert textbook.predict_all(frames_BTCHW, 2).shape == (1, 4, 1, 8, 8)
    assert torch.equal(textbook(frames_BTCHW, lead_steps=2), textbook.predict_all(frames_BTCHW, 2)[:, -2:])


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_predictions_and_gradients_of_ours(name):
    models = [model.double() for model in _pair(name, hidden_channels=4, num_layers=5)]  # bends of TrajGRU's sampling
    frames_BTCHW = torch.rand(2, 2, 1, 13, 14).double()  # odd sides, and blocks of CMS-LSTM that hold no pixel
    results = []
    for model in models:
        given_BTCHW = frames_BTCHW.clone().requires_grad_()
        predictions = model.predict_all(given_BTCHW, 2)
        (gradient,) = torch.autograd.grad(predictions.square().sum(), given_BTCHW)
        results.append((predictions.detach(), gradient))
    (ours, our_gradient), (textbook, textbook_gradient) = results
    assert float(ours.std()) > 1e-3
    torch.testing.assert_close(textbook, ours, rtol=0, atol=1e-9)
    torch.testing.assert_close(textbook_gradient, our_gradient, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["predrnn-v2", "ms-predrnn-v2"])
def test_decoupling_loss_of_ours(name):
    ours, textbook = _pair(name, hidden_channels=4)
    frames_BTCHW = torch.rand(2, 2, 1, 12, 12)
    loss = textbook.predict_with_loss(frames_BTCHW, 2)[1]
    assert float(loss.detach()) > 0
    torch.testing.assert_close(loss, ours.predict_with_loss(frames_BTCHW, 2)[1])
    with torch.no_grad():
        assert textbook.predict_with_loss(frames_BTCHW, 2)[1] is None


def test_local_attention_has_the_right_gradients():
    a_BCHW, b_BCHW = (torch.rand(1, 1, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weights_BNHW = torch.rand(1, 900, 2, 3, dtype=torch.float64)
    toward = torch.rand_like(weights_BNHW)
    assert torch.autograd.gradcheck(lambda a, b: (toward * Similarity.apply(a, b)).sum(), (a_BCHW, b_BCHW))
    assert torch.autograd.gradcheck(lambda value: Weighting.apply(weights_BNHW, value), (b_BCHW,))
    weights_BNHW.requires_grad_()
    (gradient,) = torch.autograd.grad((Weighting.apply(weights_BNHW, b_BCHW.detach()) * a_BCHW).sum(), weights_BNHW)
    torch.testing.assert_close(gradient, Similarity.apply(a_BCHW, b_BCHW))  # linear in the weights


MEGABYTES = {  # 10^6 bytes that autograd saves in the reference, weights among them: 124 x 124, 5 in, 5 out
    "convlstm": 1556,
    "ms-convlstm": 782,
    "predrnn": 2866,
    "ms-predrnn": 1439,
    "predrnn++": 4907,
    "ms-predrnn++": 2279,
    "trajgru": 4599,
    "ms-trajgru": 2114,
}


def _saved_megabytes(name: str, **options: int) -> float:
    """Unique storages that a training forward pass saves for its gradient."""
    model: Any = build_textbook(name, **options)
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with measuring_on("shapes", model), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        predictions = model.predict_all(torch.zeros(1, 5, 1, 124, 124), 5)
    assert predictions.requires_grad
    return sum(storage.nbytes() for storage in kept.values()) / 1e6


@pytest.mark.parametrize("name", MEGABYTES)
def test_saved_activations_of_the_reference(name):
    options = {"flow_kernel": 3, "flow_channels": 64} if "trajgru" in name else {}  # what was measured
    assert _saved_megabytes(name, **options) == pytest.approx(MEGABYTES[name], rel=0.003)


def test_saved_activations_of_the_papers_trajgru():
    assert _saved_megabytes("trajgru") == pytest.approx(MEGABYTES["trajgru"], rel=0.05)  # 5 x 5, 32 channels


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_every_weight_is_copied(name):
    ours, textbook = build_model(name, hidden_channels=4), build_textbook(name, hidden_channels=4)
    with torch.no_grad():
        for parameter in textbook.parameters():
            parameter.fill_(torch.nan)
    copy_weights(ours, textbook)
    assert not any(bool(parameter.isnan().any()) for parameter in textbook.parameters())
    assert sum(p.numel() for p in textbook.parameters()) == sum(p.numel() for p in ours.parameters())


def test_weights_that_do_not_fit_are_refused_with_their_names():
    textbook = build_textbook("ms-predrnn", hidden_channels=4)
    before = {name: value.clone() for name, value in textbook.state_dict().items()}
    with pytest.raises(InputError, match=r"cells\.0\.memory_gates_x\.weight"):
        copy_weights(build_model("convlstm", hidden_channels=4), textbook)
    with pytest.raises(InputError, match=r"head\.weight"):
        copy_weights(build_model("predrnn", hidden_channels=8), textbook)
    assert all(torch.equal(value, before[name]) for name, value in textbook.state_dict().items())
    with pytest.raises(UnknownNameError, match="did you mean convlstm"):
        build_textbook("ms-convlstn")
