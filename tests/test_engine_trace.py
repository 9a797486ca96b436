"""From a step to its graph: folding, rewrites, arrays, and random steps against the eager loop."""

import math
import platform
from dataclasses import dataclass

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from xdpl.engine import fused, jit, simulate
from xdpl.engine.folding import Value
from xdpl.engine.graph import Graph, select_outputs
from xdpl.engine.plan import Request, plan_reverse
from xdpl.engine.program import make_program
from xdpl.engine.ranges import Ranges
from xdpl.engine.rewrites import drop_cotangents, share_divisions
from xdpl.process import StepModel
from xdpl.variables import Forcing, Output, Parameter, State

from .engine_models import Bucket, Snowy, inputs
from .test_engine_fused import assert_same, run


# ---- the graph ---------------------------------------------------------------------------
def test_equal_operations_are_one_value():
    g = Graph()
    x, y = g.input("state", 0), g.input("state", 1)
    assert g("add", x, y) == g("add", y, x)
    assert g("sub", x, y) != g("sub", y, x)
    assert g.constant(0.0) != g.constant(-0.0)
    assert g.constant(1.0) != g.constant(True)


@pytest.mark.parametrize(
    ("op", "operands", "result"),
    [
        ("add", (2.0, 3.0), 5.0),
        ("max", (2.0, math.nan), math.nan),
        ("pow", (2.0, 3.0), 8.0),
        ("lt", (2.0, 3.0), True),
        ("real", (True,), 1.0),
    ],
)
def test_constants_fold(op, operands, result):
    g = Graph()
    folded = g.literal(g(op, *operands))
    assert folded == result or (math.isnan(folded) and math.isnan(result))


def test_what_python_cant_say_is_left_to_the_machine():
    g = Graph()
    for op, operands in (("div", (1.0, 0.0)), ("log", (-1.0,)), ("exp", (1e4,))):
        assert g.literal(g(op, *operands)) is None


def test_algebra_keeps_missing_values():
    g = Graph()
    x = g.input("state", 0)
    assert g("mul", x, 1.0) == x == g("add", x, 0.0) == g("div", x, 1.0)
    assert g.literal(g("mul", x, 0.0)) is None
    assert g.literal(g("sub", x, x)) is None
    assert g("neg", g("neg", x)) == x
    assert g("where", g("not", g("lt", x, 0.0)), x, 1.0) == g("where", g("lt", x, 0.0), 1.0, x)


def test_only_what_is_needed_stays():
    g = Graph()
    x = g.input("state", 0)
    g("exp", x)
    g.outputs = [g("add", x, 1.0), g("log", x)]
    assert [n.op for n in select_outputs(g, [0]).nodes] == ["in", "const", "add"]


def test_divisors_of_cotangents_are_inverted_once():
    g = Graph()
    x, y = g.input("state", 0), g.input("state", 1)
    c, d = g.input("state_cotangent", 0), g.input("output_cotangent", 0)
    p = g.input("parameter", 0)
    g.outputs = [g("div", c, y), g("div", d, y), g("div", c, p), g("div", d, p), g("div", c, x)]
    shared = share_divisions(g, ("state", "state_cotangent", "output_cotangent"), {0})
    assert sum(n.op == "div" for n in shared.nodes) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quotients_of_a_step_are_exact(dtype):
    """The engine multiplies by 1 / y where y stays the same, yet rounds like a division."""

    @dataclass(frozen=True)
    class Quotient(StepModel):
        rain = Forcing("mm day-1")
        capacity = Parameter("mm", bounds=(1, 1000))
        storage = State("mm")
        share = Output("1")

        def step(self, forcing, state, parameter, dt):
            share = forcing.rain / parameter.capacity
            return {"storage": state.storage + share}, {"share": share}

    random = torch.Generator().manual_seed(0)
    capacity = (1 + 999 * torch.rand(4000, generator=random, dtype=torch.float64)).to(dtype)
    capacity[:3] = torch.tensor([0.0, torch.inf, torch.nan])
    below = torch.nextafter(capacity, torch.zeros_like(capacity))
    rain = torch.stack(
        [capacity, below, 3 * capacity.flip(0), torch.full_like(capacity, torch.inf)]
    )
    shares = [
        simulate(
            Quotient(),
            {"rain": rain},
            {"capacity": capacity.unsqueeze(-1)},
            {"storage": torch.zeros(4000, 1, dtype=dtype)},
            engine=engine,
        )[0]["share"]
        for engine in ("eager", "fused")
    ]
    assert torch.equal(torch.nan_to_num(shares[0], nan=-1.0), torch.nan_to_num(shares[1], nan=-1.0))
    assert (shares[1][1, 3:] < 1).all()  # though below * (1 / capacity) is often 1
    assert (below * (1 / capacity) == 1).any()


def test_absent_cotangents_are_more_than_zero():
    g = Graph()
    a, b = g.input("output_cotangent", 0), g.input("output_cotangent", 1)
    x = g.input("state", 0)
    slope = g("div", 1.0, x)
    g.outputs = [
        g("add", g("mul", a, slope), g("mul", b, x)),
        g("sub", g("mul", a, slope), b),
        g("mul", a, slope),
        g("where", g("lt", x, 1.0), a, b),
    ]
    left = drop_cotangents(g, [("output_cotangent", 0)])
    assert ("output_cotangent", 0) not in left.used_inputs()
    assert not any(n.op == "div" for n in left.nodes)
    assert left.literal(left.outputs[2]) == 0.0
    assert left.nodes[left.outputs[1]].op == "neg"


def test_ranges():
    g = Graph()
    x = g.input("state", 0)
    known = Ranges(g)
    assert known.of(x) == (-math.inf, math.inf)
    bounded = g("min", g("max", x, 0.5), 2.0)
    assert known.of(bounded) == (0.5, 2.0)
    assert known.of(g("mul", bounded, bounded)) == (0.25, 4.0)
    assert known.of(g("sub", 1.0, bounded)) == (-1.0, 0.5)
    assert known.of(g("abs", x))[0] == 0.0


def test_an_unused_output_costs_nothing_in_reverse():
    program = make_program(Snowy(), 1.0, torch.float32)
    every = Request(frozenset(range(7)), (0, 1, 2), (), tuple(range(7)))
    one = Request(frozenset(range(7)), (0,), (), tuple(range(7)))

    def size(request):
        plan = plan_reverse(program, request, native=False, avx512=True)
        return len(plan.adjoint.live())

    assert size(one) < size(every)


# ---- functions at their edges --------------------------------------------------------------
@dataclass(frozen=True)
class Function(Bucket):
    """One function of the storage, as the output ``level``."""

    function: str = "exp"

    def step(self, forcing, state, parameter, dt):
        x = forcing.precipitation
        level = _FUNCTIONS[self.function](x, parameter.recession)
        return {"storage": state.storage + 0 * x}, {"runoff": x, "level": level}


_FUNCTIONS = {
    "exp": lambda x, p: torch.exp(x),
    "log": lambda x, p: torch.log(x),
    "log1p": lambda x, p: torch.log1p(x),
    "expm1": lambda x, p: torch.expm1(x),
    "tanh": lambda x, p: torch.tanh(x),
    "sigmoid": lambda x, p: torch.sigmoid(x),
    "softplus": lambda x, p: torch.nn.functional.softplus(x),
    "sqrt": lambda x, p: torch.sqrt(x),
    "sin": lambda x, p: torch.sin(x),
    "erf": lambda x, p: torch.erf(x),
    "atan": lambda x, p: torch.atan(x),
    "sign": lambda x, p: torch.sign(x),
    "round": lambda x, p: torch.round(x),
    "power": lambda x, p: x**p,
    "square root of a power": lambda x, p: x**2.5,
    "cube": lambda x, p: x**3,
    "inverse square": lambda x, p: x**-2,
    "exponential": lambda x, p: 2.0**x,
    "maximum": lambda x, p: torch.maximum(x, p),
    "minimum": lambda x, p: torch.minimum(p, x),
    "clamp": lambda x, p: torch.clamp(x, -1.0, 2.0),
    "clamp by tensors": lambda x, p: torch.clamp(x, -p, p),
    "where": lambda x, p: torch.where(x > p, x, 0.0),
    "where not": lambda x, p: torch.where(~(x > p) | torch.isnan(x), 1.0, x),
    "relu": lambda x, p: torch.relu(x),
}
_EDGES = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -2.5, 3.0, 1e-3, 1e-8, 20.0, -20.0, 88.0, -95.0, -103.0]
_EDGES += [1e-38, 1e-42, 1e30, -1e30, math.inf, -math.inf, math.nan, 0.6, 3e5, 0.749999]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", _FUNCTIONS)
def test_functions_at_their_edges(name, dtype):
    edges = (
        [e for e in _EDGES if e != -math.inf and str(e) != "-0.0"] if "power" in name else _EDGES
    )
    x = torch.tensor(edges, dtype=dtype)[
        None
    ]  # a power of -inf is NaN here, and of -0.0 has no sign
    for exponent in (0.7, 2.0, 3.0, -1.0, 0.0, 1.0):
        p = torch.full((x.shape[1], 1), exponent, dtype=dtype)
        storage = torch.zeros_like(p)
        out = [
            simulate(
                Function(function=name),
                {"precipitation": x},
                {"recession": p},
                {"storage": storage},
                engine=how,
            )[0]["level"]
            for how in ("fused", "eager")
        ]
        rtol, atol = (3e-5, 1e-37) if dtype == torch.float32 else (1e-12, 1e-300)
        if name == "exponential":
            atol = 1e-30
        torch.testing.assert_close(*out, rtol=rtol, atol=atol, equal_nan=True)


# ---- arrays along the short axis -----------------------------------------------------------
_ARRAYS = {
    "sum": lambda q: q + q.sum(-1, keepdim=True),
    "mean": lambda q: q - 0.5 * q.mean(dim=-1, keepdim=True),
    "largest": lambda q: q / q.amax(-1, keepdim=True),
    "cumulative": lambda q: torch.cumsum(q, -1),
    "flip": lambda q: torch.flip(q, (-1,)) * torch.arange(1, 5),
    "roll": lambda q: torch.roll(q, 1, -1),
    "pad": lambda q: torch.nn.functional.pad(q, (1, -1), value=2.0),
    "index": lambda q: q[..., [1, 0, 3, 2]],
    "unbind": lambda q: torch.stack(list(torch.unbind(q, -1))[::-1], -1),
    "split": lambda q: torch.cat(torch.split(q, [1, 3], -1)[::-1], -1),
    "every other": lambda q: q + q[..., ::2].repeat_interleave(2, -1),
    "reshape": lambda q: q.reshape(*q.shape[:2], 2, 2).transpose(-1, -2).reshape(q.shape),
    "softmax": lambda q: torch.softmax(q, -1) * q,
    "outer": lambda q: (q.unsqueeze(-1) * q.unsqueeze(-2)).sum(-1),
    "constant": lambda q: q * torch.tensor([1.0, 0.5, 0.25, 0.125], dtype=q.dtype),
}


@dataclass(frozen=True)
class Rearranged(Bucket):
    """A state of four values, rearranged at every step."""

    how: str = "sum"

    @property
    def states(self):
        from xdpl.variables import State

        return {"queue": State("mm", size=4)}

    def step(self, forcing, state, parameter, dt):
        queue = state.queue * parameter.recession.unsqueeze(-1)
        queue = _ARRAYS[self.how](queue + forcing.precipitation.unsqueeze(-1) / 10)
        return {"queue": torch.tanh(queue)}, {"runoff": queue[..., 0], "level": queue.sum(-1)}


@pytest.mark.parametrize("how", _ARRAYS)
def test_arrays(how):
    model = Rearranged(how=how)
    groups = inputs(model, cells=3, components=2, time=9, dtype=torch.float64, grad=True)
    assert_same(model, groups, 1e-9)


# ---- random steps --------------------------------------------------------------------------
_PIECES = [
    lambda a, b, c: a + 0.5 * b,
    lambda a, b, c: a * b - c,
    lambda a, b, c: a / (1.0 + b * b),
    lambda a, b, c: torch.exp(-torch.abs(a)),
    lambda a, b, c: torch.log(torch.abs(a) + 0.5),
    lambda a, b, c: torch.sqrt(a * a + 1.0),
    lambda a, b, c: torch.clamp(a, 0.01, 3.0) ** torch.clamp(b, 0.2, 3.0),
    lambda a, b, c: torch.abs(a) ** 2.5,
    lambda a, b, c: torch.sigmoid(a) * torch.tanh(b),
    lambda a, b, c: torch.nn.functional.softplus(a),
    lambda a, b, c: torch.expm1(-torch.abs(a)) * torch.log1p(torch.abs(b)),
    lambda a, b, c: torch.minimum(a, b),
    lambda a, b, c: torch.maximum(a, 0.3 * c),
    lambda a, b, c: torch.where((a > b) & (c > 0), a, c),
    lambda a, b, c: torch.where(a <= 0.1, b, a * 0.5),
    lambda a, b, c: torch.clamp(a, min=0.0),
    lambda a, b, c: a.detach() * b,
    lambda a, b, c: -a.square() + c.reciprocal().clamp(-2.0, 2.0),
]


@dataclass(frozen=True)
class RandomStep(Snowy):
    """A step put together from pieces: (piece, and three earlier values) each."""

    recipe: tuple[tuple[int, int, int, int], ...] = ()

    def step(self, forcing, state, parameter, dt):
        pool = [
            forcing.precipitation / 10,
            forcing.temperature / 10,
            *(getattr(state, name) / 20 for name in self.states),
            parameter.fast,
            parameter.shape / 6,
            parameter.threshold,
        ]
        for piece, *places in self.recipe:
            pool.append(_PIECES[piece](*(pool[p % len(pool)] for p in places)))
        mixed = torch.tanh(pool[-1]) + 0.3 * torch.tanh(pool[-2])
        states = {
            name: 0.6 * getattr(state, name) + 3 * torch.tanh(pool[-1 - k]) + mixed
            for k, name in enumerate(self.states)
        }
        return states, {"runoff": mixed, "evaporation": pool[-3] * 0.1, "swe": pool[-4] * 0.1}


_piece = st.tuples(
    st.integers(0, len(_PIECES) - 1), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)
)


@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate])
@given(st.lists(_piece, min_size=4, max_size=14), st.integers(1, 3))
def test_random_steps(recipe, components):
    model = RandomStep(recipe=tuple(recipe))
    groups = inputs(model, cells=5, components=components, time=19, dtype=torch.float64, grad=True)
    assert_same(model, groups, 1e-9)


@settings(max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate])
@given(st.lists(_piece, min_size=4, max_size=14))
def test_random_steps_in_single_precision(recipe):
    model = RandomStep(recipe=tuple(recipe))
    groups = inputs(model, cells=21, components=1, time=3)
    expected, _ = run(model, groups, "eager")
    actual, _ = run(model, groups, "fused")
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_plain_number_is_no_value():
    assert isinstance(Graph().constant(1.0), Value)
    with pytest.raises(TypeError, match="neither a Value nor a float"):
        Graph()("neg", 1)


def test_the_adjoint_reads_what_is_costly_and_computes_what_is_cheap():
    program = make_program(Snowy(), 1.0, torch.float32)
    every = tuple(range(7))
    plan = plan_reverse(
        program, Request(frozenset(every), (0,), (), every), native=False, avx512=True
    )
    assert plan.saved > 0
    assert len(plan.recompute.outputs) == program.slots + plan.saved
    assert not any(plan.adjoint.nodes[i].op == "getexp" for i in plan.adjoint.live())


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="for x86 only")
@pytest.mark.parametrize("name", ["exp", "log", "expm1", "log1p", "tanh", "sigmoid", "power"])
def test_functions_at_their_edges_without_avx512(name, monkeypatch):
    here = jit.host()
    narrow = jit.Host(here.triple, "haswell", "+avx,+avx2,+fma,+bmi,+bmi2")
    monkeypatch.setattr(jit, "host", lambda: narrow)
    monkeypatch.setattr(fused, "_LOOPS", {})
    test_functions_at_their_edges(name, torch.float32)
