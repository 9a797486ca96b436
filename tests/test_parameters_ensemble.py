"""Several learners asked as one: centre, spread, components that belong together."""

import pytest
import torch
from toy import Bucket

from xdpl.errors import DeclarationError
from xdpl.networks import MLP
from xdpl.parameters.cell_inputs import CellInputs
from xdpl.parameters.ensemble import Ensemble
from xdpl.parameters.learner import Learner

ATTRIBUTE = torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INPUTS = CellInputs(ATTRIBUTE)


def learners(count: int, components: int = 1) -> list[Learner]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        learner = Learner(MLP(hidden=(4,)), Bucket(), [0, 0], components)
        for value in learner.network.parameters():
            torch.nn.init.normal_(value)
        made.append(learner.eval())
    return made


@torch.no_grad()
def test_parameters_are_the_mean_on_each_parameters_scale():
    members = learners(3)
    found = Ensemble(members).parameters_of(INPUTS)
    each = [member.parameters_of(INPUTS) for member in members]
    linear = torch.stack([one["evaporation_factor"] for one in each]).mean(0)
    torch.testing.assert_close(found["evaporation_factor"], linear)
    logarithmic = torch.stack([one["recession"].log() for one in each]).mean(0).exp()
    torch.testing.assert_close(found["recession"], logarithmic)


@torch.no_grad()
def test_members_that_only_number_their_components_otherwise_agree():
    (first,) = learners(1, components=4)
    other = learners(1, components=4)[0]
    shuffled = torch.tensor([2, 0, 3, 1])
    last = [m for m in other.network.modules() if isinstance(m, torch.nn.Linear)][-1]
    columns = torch.cat([shuffled, 4 + shuffled])
    last.weight.copy_(last.weight[columns].clone())
    last.bias.copy_(last.bias[columns].clone())
    ensemble = Ensemble([first, other])
    own = first.parameters_of(INPUTS)
    blurred = ensemble.parameters_of(INPUTS)
    assert (blurred["recession"] - own["recession"]).abs().max() > 0.01
    ensemble.match_components(ATTRIBUTE)
    for name, values in ensemble.parameters_of(INPUTS).items():
        torch.testing.assert_close(values, own[name])


@torch.no_grad()
def test_the_matching_is_kept_with_the_weights():
    ensemble = Ensemble(learners(2, components=3))
    ensemble.match_components(ATTRIBUTE)
    again = Ensemble(learners(2, components=3))
    again.load_state_dict(ensemble.state_dict())
    torch.testing.assert_close(
        again.parameters_of(INPUTS)["recession"], ensemble.parameters_of(INPUTS)["recession"]
    )


def test_one_member_is_no_ensemble():
    with pytest.raises(DeclarationError, match="1 members has no spread. Give two or more"):
        Ensemble(learners(1))
