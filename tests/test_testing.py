"""The conformance checks find what is wrong, and say it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from toy import Bucket

from xdpl import Forcing, Output, Parameter, State, StepModel
from xdpl.errors import DeclarationError
from xdpl.losses import MSE
from xdpl.networks import Network
from xdpl.process import ProcessModel
from xdpl.testing import check_loss, check_model, check_network, draw_parameters, draw_weather


@dataclass(frozen=True)
class Balanced(Bucket):
    """The toy model with its water balance declared."""

    water_balance = {
        "inflow": ("precipitation",),
        "outflow": ("streamflow", "evaporation"),
        "storage": ("storage",),
    }
    evaporation = Output("mm day-1")

    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        full = state.storage + forcing.precipitation * dt
        evaporated = full - states["storage"] - outputs["streamflow"] * dt
        return states, {**outputs, "evaporation": evaporated / dt}


def test_a_sound_model_passes():
    check_model(Balanced, steps=20)
    check_model(Bucket(), steps=20)


def test_own_forcing_may_be_given():
    forcing = {name: torch.rand(9, 3) for name in Bucket().forcings}
    check_model(Bucket(), forcing=forcing)


class Flawed(Balanced):
    """Passes on what the toy model returns, spoilt by ``spoil``."""

    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        return self.spoil(forcing, state, parameter, states, outputs)


def flawed(spoil, **attributes):
    """A model spoilt by a function of (forcing, state, parameter, states, outputs)."""
    return type("Flawed", (Flawed,), {"spoil": staticmethod(spoil), **attributes})()


def leaky(forcing, state, parameter, states, outputs):
    return {"storage": states["storage"] * 0.999}, outputs


def in_place(forcing, state, parameter, states, outputs):
    state.storage.add_(1.0)
    return states, outputs


def undeclared(forcing, state, parameter, states, outputs):
    return states, {**outputs, "more": outputs["water"]}


def stateless(forcing, state, parameter, states, outputs):
    return {}, outputs


def misshapen(forcing, state, parameter, states, outputs):
    return states, {**outputs, "water": outputs["water"][:, 0]}


def infinite(forcing, state, parameter, states, outputs):
    return states, {**outputs, "water": torch.log(forcing.precipitation)}


def steep(forcing, state, parameter, states, outputs):
    return states, {**outputs, "water": parameter.recession * torch.sqrt(forcing.precipitation)}


def numpy_inside(forcing, state, parameter, states, outputs):
    return {k: v.detach() for k, v in states.items()}, {k: v.detach() for k, v in outputs.items()}


def across_components(forcing, state, parameter, states, outputs):
    return states, {**outputs, "water": outputs["water"].sum(-1, keepdim=True) + 0 * state.storage}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (leaky, "water balance is off by"),
        (in_place, "changes storage in place"),
        (undeclared, "returns the outputs .*'more'.*declared are"),
        (stateless, r"returns the states \[\], declared are \['storage'\]"),
        (misshapen, r"returns water with shape \(24,\), not \(24, 1\)"),
        (infinite, "water is not finite in cell 0"),
        (steep, "gradient with respect to precipitation is not finite"),
        (numpy_inside, "by a path that torch can follow"),
        (across_components, "two equal components differs from one"),
    ],
)
def test_flaws_of_a_step_are_found(spoil, message):
    with pytest.raises(DeclarationError, match=message):
        check_model(flawed(spoil), steps=20)


def test_a_step_that_overshoots_is_found():
    """A storage that empties and fills in turns: bounded values, chaos, exploding gradients."""

    def overshooting(forcing, state, parameter, states, outputs):
        x = torch.clamp(state.storage / 100, 0.01, 0.99)
        return {"storage": 390 * x * (1 - x)}, outputs

    with pytest.raises(DeclarationError, match="with respect to initial storage reaches .* over"):
        check_model(flawed(overshooting), steps=80)


def test_memory_outside_of_states_is_found():
    calls = []

    def forgetful(forcing, state, parameter, states, outputs):
        calls.append(1)
        return states, {**outputs, "water": outputs["water"] * (1 + len(calls))}

    with pytest.raises(DeclarationError, match="run in two halves differs"):
        check_model(flawed(forgetful), steps=20)


def fine(forcing, state, parameter, states, outputs):
    return states, outputs


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"water_balance": {"inflow": ("rain",), "outflow": (), "storage": ()}},
            "names rain, no forcing or output",
        ),
        (
            {"water_balance": {"inflow": (), "outflow": (), "storage": ("snow",)}},
            "names snow, no state",
        ),
        ({"timesteps": (1.0, 0.5)}, "are no interval of days"),
        ({"level": Output("bananas")}, "units .* of level .* are unknown"),
        ({"recession": None, "evaporation_factor": None}, "declares no parameters"),
        (
            {"options": property(lambda self: {"depth": 2}), "__init__": lambda self, **k: None}
            | {"__eq__": lambda self, other: False, "__hash__": None},
            "differs from the model itself",
        ),
        (
            {"initial_state": lambda self, parameter: {}},
            r"initial_state of Flawed returns \[\], declared are \['storage'\]",
        ),
    ],
)
def test_flaws_of_declarations_are_found(attributes, message):
    with pytest.raises(DeclarationError, match=message):
        check_model(flawed(fine, **attributes), steps=5)


@dataclass(frozen=True)
class External(ProcessModel):
    """A model that is no step: something else computes it."""

    rain = Forcing("mm day-1")
    factor = Parameter("1", bounds=(0.5, 2.0))
    flow = Output("mm day-1")
    keep_outputs: bool = True

    def simulate(self, forcing, parameter, *, dt=1.0, outputs=None, state=None, engine="auto"):
        flow = forcing["rain"] * parameter["factor"].mean(-1)
        return ({"flow": flow} if self.keep_outputs else {}), {}


def test_models_that_are_no_steps_are_checked_as_a_whole():
    check_model(External(), steps=10)
    with pytest.raises(DeclarationError, match=r"returns the outputs \[\], declared are"):
        check_model(External(keep_outputs=False), steps=10)


def test_engines_that_disagree_are_found():
    @dataclass(frozen=True)
    class Two(External):
        def simulate(self, forcing, parameter, *, engine="auto", **others):
            outputs, state = super().simulate(forcing, parameter, **others)
            return {k: v * (1 if engine == "eager" else 1.01) for k, v in outputs.items()}, state

    with pytest.raises(DeclarationError, match="flow of the fused engine differs"):
        check_model(Two(), steps=10)


@dataclass(frozen=True)
class Many(StepModel):
    """Forcings of all kinds."""

    rain = Forcing("kg m-2 s-1")
    potential_evaporation = Forcing("mm day-1")
    warmth = Forcing("K")
    light = Forcing("W m-2")
    cloud = Forcing("percent")
    factor = Parameter("1", bounds=(0.5, 2.0), shared=True)
    other = Parameter("1", bounds=(1.0, 100.0), scale="log")
    storage = State("mm")
    flow = Output("mm day-1")

    def step(self, forcing, state, parameter, dt):
        return {"storage": state.storage}, {"flow": forcing.rain * parameter.other}


def test_weather_is_drawn_in_the_units_of_the_forcings():
    weather = draw_weather(Many(), cells=30, steps=300)
    assert 0 < weather["rain"].max() < 0.01
    assert weather["warmth"][:, 2].max() == pytest.approx(223.15)
    assert weather["potential_evaporation"][:, 4].max() == 0
    assert (weather["rain"][:, 0] == 0).all()
    assert 50 < weather["light"].max() < 500
    assert 0 <= weather["cloud"].min() < weather["cloud"].max() <= 100
    again = draw_weather(Many(), cells=30, steps=300)
    assert all(torch.equal(weather[name], again[name]) for name in weather)


def test_weather_of_unknown_kind_must_be_given():
    strange = type("Strange", (Many,), {"cloud": Forcing("mol m-3")})()
    with pytest.raises(DeclarationError, match="no weather can be drawn for forcing cloud in mol"):
        draw_weather(strange)


def test_parameters_are_drawn_on_their_scale_within_their_bounds():
    drawn = draw_parameters(Many(), cells=500)
    assert drawn["factor"].shape == (500,)
    assert drawn["other"].shape == (500, 1)
    assert drawn["other"].median() == pytest.approx(10, rel=0.3)
    middle = draw_parameters(Many(), cells=2, where="middle")
    assert middle["other"][0] == pytest.approx(10) and middle["factor"][0] == 1.25
    bounds = draw_parameters(Many(), cells=50, where="at bounds")
    assert set(bounds["factor"].tolist()) == {0.5, 2.0}


@dataclass(frozen=True)
class Spoilt(MSE):
    """The mean squared error with one flaw."""

    flaw: str = ""

    def scale(self, observed):
        return super().scale(observed) * (-1 if self.flaw == "scale" else 1)

    def per_cell(self, simulated, observed):
        total, weight = super().per_cell(simulated, observed)
        seen = ~observed.isnan()
        if self.flaw == "shape":
            return total.sum(), weight
        if self.flaw == "empty":
            return total + 1, weight
        if self.flaw == "pooled":
            return total * (weight > 0) * total.mean(), weight
        if self.flaw == "gradient":
            return torch.sqrt(total - total.detach()) + total, weight
        if self.flaw == "unseen":
            return total + (weight > 0) * (simulated * ~seen).sum(0), weight
        if self.flaw == "worst":
            return -total, weight
        return total, weight


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("scale", "scale of Spoilt must be one positive number per cell"),
        ("shape", r"per_cell of Spoilt returns shapes \(\)"),
        ("empty", "cell without observations total and weight"),
        ("pooled", "depends on the other cells"),
        ("gradient", "gradients that are not finite"),
        ("unseen", "gradients where nothing was observed"),
        ("worst", "perfect simulation is not the lowest"),
    ],
)
def test_flaws_of_a_loss_are_found(flaw, message):
    with pytest.raises(DeclarationError, match=message):
        check_loss(Spoilt(flaw=flaw))
    check_loss(Spoilt())


def test_a_loss_that_can_not_be_rebuilt_is_found():
    class Fickle(MSE):
        @property
        def options(self):
            return {"per_cell_bias": self.per_cell_bias + 1}

    with pytest.raises(DeclarationError, match="differs from the loss itself"):
        check_loss(Fickle())


def undeclared_forcing(forcing, state, parameter, states, outputs):
    return states, {**outputs, "water": forcing.rain}


def misfitting_shapes(forcing, state, parameter, states, outputs):
    return states, {**outputs, "water": outputs["water"] @ torch.ones(7, 1).double()}


def mean_of_cells(forcing, state, parameter, states, outputs):
    return states, {**outputs, "water": outputs["water"] - outputs["water"].mean(0)}


def sum_of_cells(forcing, state, parameter, states, outputs):
    return {"storage": states["storage"].cumsum(0) / 30}, outputs


@pytest.mark.parametrize("spoil", [undeclared_forcing, misfitting_shapes])
def test_raw_errors_come_with_the_line_that_caused_them(spoil):
    line = spoil.__code__.co_firstlineno + 1
    with pytest.raises(
        DeclarationError,
        match=rf"step of Flawed raised \w+ in test_testing.py, line {line}, `return states.*`: .*",
    ):
        check_model(flawed(spoil), steps=20)


def test_names_that_are_not_declared_come_with_those_that_are():
    with pytest.raises(
        DeclarationError, match="'rain' is not declared. There are precipitation, p"
    ):
        check_model(flawed(undeclared_forcing), steps=20)


@pytest.mark.parametrize("spoil", [mean_of_cells, sum_of_cells])
def test_cells_that_mix_are_found(spoil):
    with pytest.raises(DeclarationError, match="depends on the other cells.* never along"):
        check_model(flawed(spoil, water_balance=None), steps=20)


def test_parameters_without_influence_are_named():
    idle = {"idle": Parameter("1", bounds=(0, 1)), "spare": Parameter("1", bounds=(0, 1))}
    with pytest.raises(DeclarationError, match="changes with the parameter idle, spare, so"):
        check_model(flawed(fine, **idle), steps=20)


@dataclass(frozen=True)
class FlawedNetwork(Network):
    """A linear map with one flaw."""

    flaw: str = ""
    reads_forcings = True

    @property
    def options(self):
        return {"flaw": "other" if self.flaw == "options" else self.flaw}

    def build(self, attributes, forcings, outputs):
        if self.flaw == "build":
            return torch.zeros(attributes).reshape(7, 7)
        if self.flaw == "function":
            return lambda attribute, cycle: attribute
        if self.flaw == "list":
            return FlawedModule(self.flaw, attributes, forcings, outputs, keep=False)
        return FlawedModule(self.flaw, attributes, forcings, outputs)


class FlawedModule(nn.Module):
    def __init__(self, flaw, attributes, forcings, outputs, keep=True):
        super().__init__()
        layer = nn.Linear(attributes + forcings, outputs)
        self.layers = nn.ModuleList([layer]) if keep else [layer]
        self.flaw, self.shift = flaw, torch.randn(outputs)
        if flaw == "unused":
            self.spare = nn.Linear(2, 2)
        if flaw == "batch":
            self.normal = nn.BatchNorm1d(outputs)

    def forward(self, attribute, cycle=None):
        raw = self.layers[0](torch.cat([attribute, cycle.mean(0)], -1))
        changed = {
            "shape": lambda: raw[:, :1],
            "dtype": raw.double,
            "infinite": lambda: raw / 0,
            "random": lambda: raw + torch.randn(raw.shape),
            "mixed": lambda: raw - raw.mean(0),
            "order": lambda: raw * torch.arange(len(raw))[:, None],
            "batch": lambda: self.normal(raw),
            "state": lambda: raw + self.shift,
            "detached": raw.detach,
            "zero": lambda: raw * 0,
            "constant": lambda: raw / attribute.std(-1, keepdim=True),
            "raw": lambda: raw @ raw,
        }
        return changed[self.flaw]() if self.flaw in changed else raw


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("options", "differs from the network itself.* frozen dataclass"),
        ("build", r"build of FlawedNetwork raised RuntimeError in test_testing.py, line \d+, `ret"),
        ("function", "returned function. Return a torch.nn.Module"),
        ("list", "no weights to train.* nn.ModuleList"),
        ("shape", r"gives \(7, 1\), not a tensor \(cell, output\) of shape \(7, 4\)"),
        ("dtype", "gives torch.float64 from torch.float32"),
        ("infinite", "gives values that are not finite"),
        ("random", "other values when asked again.* self.training"),
        ("mixed", "depends on the other cells or on their order"),
        ("order", "depends on the other cells or on their order"),
        ("batch", "asked for 1 cells raised ValueError in test_testing.py"),
        ("state", "other values with the same state_dict.* register_buffer"),
        ("detached", "no gradient runs from the values"),
        ("unused", "reaches spare.weight, spare.bias.* remove them"),
        ("zero", "all gradients of FlawedNetwork are zero"),
        ("constant", "not finite where all cells have the same attributes"),
        ("raw", "asked for 7 cells raised RuntimeError in test_testing.py"),
    ],
)
def test_flaws_of_a_network_are_found(flaw, message):
    with pytest.raises(DeclarationError, match=message):
        check_network(FlawedNetwork(flaw=flaw))


def test_a_sound_network_passes_and_leaves_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_network(FlawedNetwork())
    check_network(FlawedNetwork)
    assert torch.equal(torch.rand(2), expected)


@dataclass(frozen=True)
class Misreturned(Bucket):
    """The toy model whose step returns something else than two dicts, or asks for one cell."""

    flaw: str = ""

    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        if self.flaw == "if" and forcing.precipitation > 0:
            return states, outputs
        if self.flaw == "max":
            return {"storage": max(states["storage"], 0.0)}, outputs
        return {
            "tensors": (states["storage"], outputs["streamflow"]),
            "one": states,
            "nothing": None,
        }[self.flaw]


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("tensors", r"returns \(Tensor, Tensor\), not two dicts. Return the new states"),
        ("one", "returns a dict, not two dicts"),
        ("nothing", "returns nothing, not two dicts"),
        ("if", r"line \d+, `if self.flaw.*the line has all: write torch.where"),
        ("max", r"line \d+, `return.*max.*or torch.clamp\(a, min=0.0\)"),
    ],
)
def test_what_a_step_must_not_return_or_ask_is_found(flaw, message):
    with pytest.raises(DeclarationError, match=message):
        check_model(Misreturned(flaw=flaw))


class OnlyTotal(MSE):
    def per_cell(self, simulated, observed):
        return super().per_cell(simulated, observed)[0]


class Undefined(MSE):
    def per_cell(self, simulated, observed):
        return simulated.nosuch, observed


def test_what_is_no_loss_is_refused():
    with pytest.raises(DeclarationError, match="the loss is a function, not.*per_cell"):
        check_loss(lambda simulated, observed: (simulated - observed).square().mean())
    with pytest.raises(DeclarationError, match="the loss is a MSELoss, not an instance"):
        check_loss(nn.MSELoss())
    with pytest.raises(DeclarationError, match="returns a Tensor, not two tensors. Return the sum"):
        check_loss(OnlyTotal())
    with pytest.raises(DeclarationError, match=r"AttributeError in test_testing.py.*nosuch"):
        check_loss(Undefined())


class Plain(Network):
    def build(self, attributes, forcings, outputs):
        return nn.Linear(attributes, outputs)


def test_what_is_no_network_is_refused():
    with pytest.raises(DeclarationError, match="the network is a Linear, not.*build"):
        check_network(nn.Linear(3, 4))
    message = r"module of Plain, a Linear, can't be called.*forward\(self, attributes, cycle=None\)"
    with pytest.raises(DeclarationError, match=message):
        check_network(Plain())
