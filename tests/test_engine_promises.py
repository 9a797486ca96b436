"""What the engine promises beside right numbers: memory, speed, and dynamic parameters."""

import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpl import models
from xdpl.engine import simulate

from .engine_models import Snowy, inputs
from .test_engine_fused import assert_same

MEMORY = r"""
import re, sys, torch
sys.path.insert(0, {path!r})
from xdpl import models
from xdpl.engine import simulate
from tests.engine_models import inputs

torch.set_num_threads(1)
groups = inputs(models.HBV(), cells=4000, components=1, time=1500)
parameter = {{k: v.requires_grad_() for k, v in groups[1].items()}}

def peak(steps):  # of this process; getrusage counts what its parent had, too
    forcing = {{k: v[:steps] for k, v in groups[0].items()}}
    out, _ = simulate(models.HBV(), forcing, parameter, groups[2], outputs=["streamflow"])
    torch.autograd.grad(out["streamflow"], list(parameter.values()),
                        torch.ones_like(out["streamflow"]), allow_unused=True)
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])

short = peak(300)
print((peak(1500) - short) / (1200 * 4000))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is not there")
def test_memory_grows_with_a_sixteenth_of_the_steps(request):
    root = str(request.config.rootpath)
    found = subprocess.run(
        [sys.executable, "-c", MEMORY.format(path=root)],
        capture_output=True, text=True, check=True, cwd=root,
    )  # fmt: skip
    # the output and its cotangent take 8 bytes a cell and step, five states at every step
    # another 20; at every sixteenth they take 1.25
    assert 4 < float(found.stdout) < 14


def best(call):
    call()
    spent = []
    for _ in range(15):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return min(spent)


@pytest.mark.parametrize("model", [models.HBV(), models.VIC(), models.GR4J()], ids=lambda m: m.name)
def test_not_slower_than_eager_where_there_is_next_to_nothing_to_do(model):
    groups = inputs(model, cells=1, components=1, time=10, grad=True)
    leaves = list(groups[1].values())

    def both(how):
        out, _ = simulate(model, *groups, engine=how)
        total = torch.stack([series.sum() for series in out.values()]).sum()
        torch.autograd.grad(total, leaves, allow_unused=True)

    assert best(lambda: both("fused")) < best(lambda: both("eager"))


@settings(max_examples=6, deadline=None)
@given(
    moving=st.sets(st.sampled_from(list(Snowy().parameters))),
    asked=st.sets(st.sampled_from(list(Snowy().parameters)), min_size=1),
    components=st.sampled_from([1, 3]),
    seed=st.integers(0, 100),
)
def test_any_parameters_may_move_and_any_may_have_gradients(moving, asked, components, seed):
    forcing, parameter, state = inputs(
        Snowy(), cells=9, components=components, time=33, dtype=torch.float64
    )
    random = torch.Generator().manual_seed(seed)
    for name in sorted(moving):
        factor = 1 + 0.2 * torch.rand(33, 9, components, generator=random, dtype=torch.float64)
        parameter[name] = parameter[name] * factor
    for name in sorted(asked):
        parameter[name] = parameter[name].detach().clone().requires_grad_()
    assert_same(Snowy(), (forcing, parameter, state), 1e-9)


def test_gradcheck_with_parameters_that_move():
    forcing, parameter, state = inputs(Snowy(), cells=3, components=2, time=7, dtype=torch.float64)
    fixed = {k: v for k, v in parameter.items() if k not in ("shape", "fast")}
    wave = 1 + 0.1 * torch.sin(torch.arange(7, dtype=torch.float64))[:, None, None]

    def runoff(shape, fast, slow):
        here = {**fixed, "shape": shape, "fast": fast, "slow": slow}
        out, final = simulate(Snowy(), forcing, here, state, engine="fused")
        return (*out.values(), *final.values())

    moving = [(parameter[k] * wave).detach().requires_grad_() for k in ("shape", "fast")]
    still = parameter["slow"].detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(runoff, (*moving, still))


def test_a_parameter_that_moves_but_is_the_same_every_day_is_as_one_that_stands_still():
    forcing, parameter, state = inputs(Snowy(), cells=40, components=2, time=50)
    still, _ = simulate(Snowy(), forcing, parameter, state, engine="fused")
    moving = parameter | {
        name: parameter[name].expand(50, 40, 2) for name in ("capacity", "shape", "slow")
    }
    moved, _ = simulate(Snowy(), forcing, moving, state, engine="fused")
    for name in still:
        torch.testing.assert_close(moved[name], still[name])
