"""SimVP and Earthformer: the models without recurrence keep the same call and are what was published."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.errors import InputError
from models import build_model, list_models, recurrent_models
from models.build import MODELS, options_of
from models.checkpoint import load_model, save_model
from models.earthformer.cuboids import PATTERNS, RelativeBias, join, split
from models.transforms import transform_from_dict
from tests.models.small_models import SMALL, each_of, small
from training.config import RunConfig
from training.trainer.module import NowcastModule

VARIANTS = [
    ("simvp", {}),
    ("simvp", {"spatial_layers": 2, "groups": 2, "num_layers": 2, "residual": True}),
    ("simvp", {"spatial_layers": 1, "kernel_size": 5, "kernel_sizes": [3]}),
    ("earthformer", {}),
    ("earthformer", {"depth": 1, "levels": 1, "pattern": "divided", "residual": True}),
    ("earthformer", {"levels": 3, "depth": 1, "scale": 1, "lead_steps": 5}),
    ("earthformer", {"pattern": "local-dilated", "global_vectors": 3}),
    ("earthformer", {"global_vectors": 2, "depth": 1}),
]
CARD = {"transform": {"name": "identity"}, "input_steps": 3, "cadence_minutes": 30, "pixel_m": 7258.0, "version": "1"}
name = each_of("simvp", "earthformer")


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0]}-{'-'.join(map(str, variant[1].values()))}")
def model(request):
    return small(request.param[0], **request.param[1])


def test_both_are_listed_and_have_no_twin():
    assert set(list_models()) - set(recurrent_models()) == set(MODELS.names()) >= {"earthformer", "simvp"}


@pytest.mark.parametrize(("height", "width"), [(16, 16), (31, 45), (7, 3), (1, 1)])
def test_any_size_and_any_lead_comes_back(model, height, width):
    frames = torch.rand(2, 3, 1, height, width)
    with torch.no_grad():
        for leads in (1, 3, 7):
            forecast = model(frames, lead_steps=leads)
            assert forecast.shape == (2, leads, 1, height, width)
            assert bool(torch.isfinite(forecast).all())


def test_samples_of_a_batch_do_not_mix(model):
    frames = torch.rand(3, 3, 1, 13, 18)
    with torch.no_grad():
        alone = torch.cat([model.eval()(frames[i : i + 1], lead_steps=4) for i in range(3)])
        torch.testing.assert_close(model(frames, lead_steps=4), alone)


def test_every_parameter_gets_a_gradient(model):
    forecast, own_loss = model.eval().predict_with_loss(torch.rand(1, 3, 1, 16, 16), getattr(model, "leads", 3))
    forecast.square().sum().backward()
    assert own_loss is None
    assert [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


def test_recomputing_gives_the_same_gradients(model):
    gradients = []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(1)  # dropout
        model(torch.linspace(0, 1, 3 * 64).reshape(1, 3, 1, 8, 8), 3).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_further_leads_follow_from_the_own_forecast(name):
    model, frames = small(name).eval(), torch.rand(1, 3, 1, 12, 12)
    with torch.no_grad():
        first = model(frames, lead_steps=3)
        second = model(first, lead_steps=3)
        torch.testing.assert_close(model(frames, lead_steps=5), torch.cat([first, second], dim=1)[:, :5])


def test_residual_adds_the_newest_frame(name):
    plain, residual, frames = small(name).eval(), small(name, residual=True).eval(), torch.rand(1, 3, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(residual(frames, lead_steps=3), plain(frames, lead_steps=3) + frames[:, -1:])


def test_type_of_the_input_is_kept_and_bf16_is_finite(name):
    model, frames = small(name), torch.rand(1, 3, 1, 12, 12)
    assert model.double()(frames.double(), lead_steps=1).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert bool(torch.isfinite(model.float()(frames, lead_steps=4)).all())


def test_save_and_load_give_the_same_forecast(name, tmp_path):
    model, frames = small(name, in_channels=2).eval(), torch.rand(1, 3, 2, 12, 12)
    architecture = {"name": name, "options": {**SMALL[name], "in_channels": 2}}
    save_model(tmp_path / "c", model, {**CARD, "architecture": architecture})
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "c")(frames, lead_steps=3), model(frames, lead_steps=3))


@pytest.mark.parametrize(
    ("name", "parameters", "printed_m", "macs", "products"),
    [("simvp", 43_197_569, 43.2, 15_717_105_664, 0), ("earthformer", 6_722_013, 6.7, 34_795_683_840, 1_047_265_280)],
)
def test_presets_have_the_published_size_and_cost(name, parameters, printed_m, macs, products):
    """Worked out layer by layer in docs/results/rivals.md; a MAC is half of what the counter calls FLOPs."""
    with torch.device("meta"):
        model = build_model(name).eval()
        count = sum(p.numel() for p in model.parameters())
        assert count == parameters
        assert count == pytest.approx(printed_m * 1e6, rel=0.01)
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 10, 1, 64, 64), lead_steps=10)
    counts = counter.get_flop_counts()["Global"]
    assert sum(counts.values()) == 2 * macs
    attention = [
        value for operation, value in counts.items() if "attention" in str(operation) or "bmm" in str(operation)
    ]
    assert sum(attention) == 2 * products


def _eight_clips():
    """Discs that drift, each with its own speed: six frames of 16 x 16."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    clips = [
        [torch.exp(-((x - 4 - n % 4 - (n % 3) * t) ** 2 + (y - 5 - n // 2 - 0.5 * t) ** 2) / 8) for t in range(6)]
        for n in range(8)
    ]
    return torch.stack([torch.stack(clip) for clip in clips])[:, :, None]


def _losses(model, clips, *, learning_rate, steps=60):
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    losses = []
    for _ in range(steps):
        loss = (model(clips[:, :3], lead_steps=3) - clips[:, 3:]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_eight_clips_are_learned_by_heart(name):
    model, clips = small(name, **({"dropout": 0.0, "depth": 1} if name == "earthformer" else {})), _eight_clips()
    losses = _losses(model, clips, learning_rate=6e-3)
    blind = float((clips[:, 3:] - clips[:, 3:].mean(dim=0)).square().mean())
    assert losses[-1] < losses[0] / 5
    assert losses[-1] < blind / 2  # than the mean of all clips: it tells them apart


@pytest.mark.long
def test_eight_clips_at_the_published_size(name):
    torch.manual_seed(3)
    options: dict[str, Any] = {"dropout": 0.0} if name == "earthformer" else {}
    model = build_model(name, input_steps=3, **options)
    losses = _losses(model, _eight_clips(), learning_rate=3e-4, steps=60 if name == "simvp" else 180)
    assert losses[-1] < losses[0] / 10


def test_the_trainer_compares_the_forecast_frames_alone(name):
    config = RunConfig(dataset="x", model=name, transform={"name": "identity"}, loss="l2", input_steps=3, lead_steps=3)
    module = NowcastModule(small(name).eval(), transform_from_dict(config.transform), config, total_steps=1, rain=False)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    frames = torch.rand(2, 6, 1, 12, 12)
    expected = module._loss(module.model(frames[:, :3], lead_steps=3), frames[:, 3:])
    torch.testing.assert_close(module.training_step((frames[:, :3], frames[:, 3:])), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("dilated", [False, True])
@pytest.mark.parametrize("size", [(1, 1, 5), (2, 4, 4), (3, 5, 1)])
def test_cuboids_are_joined_as_they_were_split(size, dilated):
    x = torch.arange(2 * 3 * 6 * 5 * 2.0).reshape(2, 3, 6, 5, 2)
    cuboids = split(x, size, dilated=dilated)
    assert cuboids.shape[2] == size[0] * size[1] * size[2]
    assert torch.equal(join(cuboids, size, (3, 6, 5), dilated=dilated), x)


def test_cuboids_hold_neighbours_or_equal_distances():
    x = torch.arange(6.0).reshape(1, 1, 1, 6, 1)
    assert split(x, (1, 1, 3), dilated=False)[0, :, :, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert split(x, (1, 1, 3), dilated=True)[0, :, :, 0].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert [cuboid.size((10, 32, 16)) for cuboid in PATTERNS.get("axial")] == [(10, 1, 1), (1, 32, 1), (1, 1, 16)]


def test_relative_bias_depends_on_the_offset_alone_and_reaches_beyond_its_size():
    bias = RelativeBias((3, 1, 1), heads=2)((5, 1, 1), (5, 1, 1))
    assert torch.equal(bias[:, 1, 0], bias[:, 4, 3])
    assert torch.equal(bias[:, 4, 0], bias[:, 2, 0])
    assert not torch.equal(bias[:, 0, 1], bias[:, 1, 0])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("simvp", {"num_layers": 3}, "even number"),
        ("simvp", {"kernel_size": 4}, "odd numbers, got"),
        ("simvp", {"groups": 3}, "groups that divide"),
        ("simvp", {"spatial_layers": 0}, "at least 1, got spatial_layers=0"),
        ("simvp", {"skip": "unet"}, "input_steps, translator_channels"),
        ("earthformer", {"num_layers": 4}, "its option depth"),
        ("earthformer", {"kernel_size": 2}, "expected an odd number"),
        ("earthformer", {"heads": 3}, "multiple of its 3 heads"),
        ("earthformer", {"position_size": 30, "levels": 3}, "multiple of 8"),
        ("earthformer", {"pattern": "axal"}, "did you mean axial"),
        ("earthformer", {"global_vectors": -1}, "global_vectors at least 0"),
    ],
)
def test_impossible_options_are_refused_with_what_is_expected(name, options, words):
    with pytest.raises(InputError, match=words):
        small(name, **options)


def test_another_number_of_input_frames_is_refused_with_what_is_expected(name):
    model = small(name)
    with pytest.raises(InputError, match=r"expected shape \(batch, 3, 1, rows, columns\).*input_steps"):
        model(torch.rand(1, 4, 1, 8, 8), lead_steps=1)
    with pytest.raises(InputError, match="expected at least 1"):
        model(torch.rand(1, 3, 1, 8, 8), lead_steps=0)
    assert options_of(name)[0] == "input_steps"
