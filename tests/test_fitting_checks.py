"""What keywords may be, and what is said of those that can't."""

import numpy as np
import pytest
import torch

from xdpl.errors import DeclarationError
from xdpl.fitting import checks


@pytest.mark.parametrize("seed", [-1, 1.0, True, "1", 2**63])
def test_seeds_are_whole_numbers_that_torch_takes(seed):
    checks.check_seed(np.int64(3))
    with pytest.raises(DeclarationError, match="seed=.* can't be used. Give a whole number from 0"):
        checks.check_seed(seed)


def test_precisions_are_known_and_there(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    for precision in checks.PRECISIONS:
        checks.check_precision(precision, cpu)
    with pytest.raises(DeclarationError, match="precision='half' is unknown. Use one of flo"):
        checks.check_precision("half", cpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(DeclarationError, match="bfloat16, which 'cuda:0' doesn't have. Use precis"):
        checks.check_precision("mixed", cuda)


@pytest.mark.parametrize(
    ("value", "whole", "wanted"),
    [(0, True, "a whole"), (1.5, True, "a whole"), (True, True, "a whole"), (-0.1, False, "a num")],
)
def test_numbers_are_above_zero(value, whole, wanted):
    for fine in (None, 1, np.int32(2)):
        checks.positive("size", fine, whole=whole)
    with pytest.raises(DeclarationError, match=f"size={value} can't be used. Give {wanted}"):
        checks.positive("size", value, whole=whole)
