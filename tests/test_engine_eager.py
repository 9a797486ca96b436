"""The reference loop and the checks at the entrance of the engine."""

import pytest
import torch

from xdpl.engine import simulate
from xdpl.errors import DeclarationError

from .engine_models import Bucket, Hydrograph, inputs


def test_bucket_by_hand():
    forcing = {"precipitation": torch.tensor([[10.0], [0.0]])}
    parameter = {"recession": torch.tensor([[0.5, 0.1]])}
    out, final = simulate(
        Bucket(), forcing, parameter, {"storage": torch.zeros(1, 2)}, engine="eager"
    )
    torch.testing.assert_close(out["runoff"], torch.tensor([[3.0], [1.7]]))
    torch.testing.assert_close(final["storage"], torch.tensor([[2.5, 8.1]]))


def test_dynamic_parameters_and_vector_states():
    forcing, parameter, state = inputs(Hydrograph(), cells=3, components=2, time=5)
    parameter["delay"] = parameter["delay"].expand(5, 3, 2)
    out, final = simulate(Hydrograph(), forcing, parameter, state, engine="eager")
    assert out["runoff"].shape == (5, 3)
    assert final["queue"].shape == (3, 2, 4)


def test_only_wanted_outputs():
    out, _ = simulate(Bucket(), *inputs(Bucket()), outputs=["runoff"], engine="eager")
    assert list(out) == ["runoff"]


def test_unknown_engine():
    with pytest.raises(DeclarationError, match="engine 'jit' is unknown"):
        simulate(Bucket(), *inputs(Bucket()), engine="jit")


def test_unknown_output():
    with pytest.raises(DeclarationError, match="has no output 'swe'"):
        simulate(Bucket(), *inputs(Bucket()), outputs=["swe"])


@pytest.mark.parametrize(("place", "kind"), [(0, "forcing"), (1, "parameter"), (2, "state")])
def test_missing(place, kind):
    given = list(inputs(Bucket()))
    given[place] = {}
    with pytest.raises(DeclarationError, match=f"without {kind}"):
        simulate(Bucket(), *given)


def test_wrong_shape():
    forcing, parameter, state = inputs(Bucket())
    forcing["precipitation"] = forcing["precipitation"][:, :1]
    with pytest.raises(DeclarationError, match=r"forcing precipitation of Bucket has shape"):
        simulate(Bucket(), forcing, parameter, state)


def test_mixed_dtypes():
    forcing, parameter, state = inputs(Bucket())
    state["storage"] = state["storage"].double()
    with pytest.raises(DeclarationError, match="Convert them to one"):
        simulate(Bucket(), forcing, parameter, state)


def test_half_precision():
    given = [{k: v.half() for k, v in group.items()} for group in inputs(Bucket())]
    with pytest.raises(DeclarationError, match="Use torch.float32 or torch.float64"):
        simulate(Bucket(), *given)


def test_without_forcing():
    model = type("Still", (Bucket,), {"forcings": {}})()
    _, parameter, state = inputs(Bucket())
    with pytest.raises(DeclarationError, match="declares no Forcing"):
        simulate(model, {}, parameter, state)


def test_without_columns():
    model = type("Void", (Bucket,), {"states": {}, "parameters": {}})()
    forcing, _, _ = inputs(Bucket())
    with pytest.raises(DeclarationError, match="neither parameters nor states"):
        simulate(model, forcing, {}, {})


def test_without_time():
    forcing, parameter, state = inputs(Bucket(), time=0)
    with pytest.raises(DeclarationError, match="no time step at all"):
        simulate(Bucket(), forcing, parameter, state)


@pytest.mark.parametrize("how", ["eager", "fused"])
def test_without_cells(how):
    out, final = simulate(Bucket(), *inputs(Bucket(), cells=0), engine=how)
    assert out["runoff"].shape == (4, 0)
    assert final["storage"].shape == (0, 2)


def test_a_model_is_told_what_it_was_run_without():
    forcing, parameter, state = inputs(Bucket())
    with pytest.raises(DeclarationError, match="was run without forcing precipitation. Give preci"):
        Bucket().simulate({}, parameter, state=state)
    with pytest.raises(DeclarationError, match="was run without parameter recession. Give recess"):
        Bucket().simulate(forcing, {}, state=state)
    with pytest.raises(DeclarationError, match="has no output 'swe'. It has runoff, level"):
        Bucket().simulate(forcing, parameter, outputs=["swe"])
