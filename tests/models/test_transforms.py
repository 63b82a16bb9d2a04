"""Between mm/h and network values."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.transforms import TRANSFORMS, ReflectivityTransform, transform_from_dict


@pytest.mark.parametrize(
    ("rate_mmh", "pixel"),
    [
        (0.5, 0.4258253388),
        (2.0, 0.5479575084),
        (5.0, 0.6286824816),
        (10.0, 0.6897485665),
        (30.0, 0.7865360210),
        (0.0, 0.0),
    ],
)
def test_pixels_of_the_papers_thresholds(rate_mmh, pixel):
    value = ReflectivityTransform().encode(torch.tensor([rate_mmh], dtype=torch.float64))
    np.testing.assert_allclose(value.numpy(), [pixel], atol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS.names())
@given(rates=st.lists(st.floats(0.05, 300), min_size=1, max_size=20))
def test_decode_undoes_encode(name, rates):
    transform = TRANSFORMS.get(name)()
    rate_mmh = torch.tensor(rates, dtype=torch.float64)
    torch.testing.assert_close(transform.decode(transform.encode(rate_mmh)), rate_mmh, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_dry_is_zero_missing_is_filled_and_the_dictionary_gives_it_back(name):
    transform = TRANSFORMS.get(name)()
    encoded = transform.encode(torch.tensor([0.0, float("nan"), 0.2, 3.0, 50.0]))
    assert encoded[:2].tolist() == [0.0, 0.0]
    assert bool((encoded[1:].diff() > 0).all())
    assert transform.decode(torch.tensor([-0.5, 0.0])).tolist() == [0.0, 0.0]
    assert transform_from_dict(transform.to_dict()) == transform
