"""Running means along time."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpl.running import running_mean


@settings(deadline=None)
@given(steps=st.integers(1, 40), days=st.integers(1, 30), cells=st.integers(1, 3))
def test_they_agree_with_pandas(steps, days, cells):
    series = torch.rand(days, cells, generator=torch.Generator().manual_seed(days))
    expected = pd.DataFrame(series.numpy()).rolling(steps, min_periods=1).mean()
    np.testing.assert_allclose(running_mean(series, steps), expected, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_dtype_and_shape_stay(steps):
    series = torch.rand(9, 2, 3)
    assert running_mean(series, steps).shape == series.shape
    assert running_mean(series, steps).dtype == series.dtype
