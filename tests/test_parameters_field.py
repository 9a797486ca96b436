"""Parameter fields and simulators: what each promises, asked of every kind."""

import pytest
import torch
from toy import Bucket

from xdpl.networks import MLP
from xdpl.parameters.cell_inputs import CellInputs
from xdpl.parameters.donors import Donors, joined
from xdpl.parameters.ensemble import Ensemble
from xdpl.parameters.field import ParameterField
from xdpl.parameters.learner import Learner
from xdpl.parameters.simulator import KnownCells, ProcessSimulator, Simulator
from xdpl.parameters.table import Table
from xdpl.parameters.transforms import ParameterTransform

ATTRIBUTE = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
RAW = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
TRANSFORM = ParameterTransform(Bucket().parameters)


def first(wanted, among, count):
    return torch.arange(count).expand(len(wanted), -1)


def table():
    return Table(TRANSFORM, RAW)


def learner(cells=0):
    torch.manual_seed(0)
    return Learner(MLP(hidden=(4,)), Bucket(), [0, 0], cells=cells).eval()


FIELDS = {
    "network": learner,
    "deviations": lambda: learner(cells=5),
    "ensemble": lambda: Ensemble([learner(), learner()]),
    "table": table,
    "donors": lambda: Donors(table(), 2, [0, 0], ATTRIBUTE, first),
    "regression": lambda: Donors(table(), 1, [0, 0], ATTRIBUTE, None),
}


@pytest.mark.parametrize("name", FIELDS)
@torch.no_grad()
def test_every_field_keeps_what_it_promises(name):
    field = FIELDS[name]()
    assert isinstance(field, ParameterField)
    inputs = CellInputs(ATTRIBUTE, index=torch.arange(5))
    found = field.parameters_of(inputs)
    assert list(found) == list(Bucket().parameters)
    for name, declared in Bucket().parameters.items():
        low, high = declared.bounds
        assert found[name].shape == (5, field.transform.components)
        assert bool(((found[name] >= low) & (found[name] <= high)).all())
    each = field.each(inputs)
    assert len(each) == (2 if isinstance(field, Ensemble) else 1)
    for deviation in field.deviations:
        assert deviation.shape == (5, field.transform.size)


@torch.no_grad()
def test_a_table_knows_its_own_cells_and_no_other():
    found = table().parameters_of(CellInputs(ATTRIBUTE, index=torch.tensor([3, -1, 0, -1, -1])))
    expected = TRANSFORM(RAW)
    for name, values in found.items():
        torch.testing.assert_close(values[[0, 2]], expected[name][[3, 0]], rtol=0, atol=0)
        assert bool(torch.isnan(values[[1, 3, 4]]).all())
    for values in table().parameters_of(CellInputs(ATTRIBUTE)).values():
        assert bool(torch.isnan(values).all())


@torch.no_grad()
def test_donors_stand_side_by_side():
    field = Donors(table(), 2, [0, 0], ATTRIBUTE, first)
    found = field.parameters_of(CellInputs(ATTRIBUTE, index=torch.tensor([4, -1, -1, -1, -1])))
    own = TRANSFORM(RAW)
    for name, values in found.items():
        torch.testing.assert_close(values[0], own[name][4].expand(2))
        torch.testing.assert_close(values[1], own[name][:2, 0])
    assert joined(RAW, torch.tensor([[1, 3]]), TRANSFORM).shape == (1, 4)


@torch.no_grad()
def test_a_cell_without_parameters_has_no_outputs():
    forcing = {name: torch.rand(9, 5) for name in Bucket().forcings}
    parameter = TRANSFORM(RAW)
    plain = ProcessSimulator(Bucket(), "eager")
    assert isinstance(plain, Simulator)
    expected = plain.simulate(forcing, parameter, dt=1.0)
    parameter["recession"][2] = torch.nan
    found = KnownCells(plain).simulate(forcing, parameter, dt=1.0, outputs=("streamflow",))
    assert list(found) == ["streamflow"]
    flow = found["streamflow"]
    assert bool(torch.isnan(flow[:, 2]).all())
    torch.testing.assert_close(flow[:, [0, 1, 3, 4]], expected["streamflow"][:, [0, 1, 3, 4]])
