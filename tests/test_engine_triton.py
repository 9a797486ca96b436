"""The Triton kernels: in the interpreter against the eager loop, and compiled for an H200."""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

# Triton decides when it is imported whether it interprets or compiles: a process for each
_INTERPRET = """
import sys
import torch
from xdpl import models
from xdpl.engine import eager
from xdpl.engine.autograd import run_loop
from xdpl.engine.gpu import GpuLoop
from xdpl.engine.program import make_program
sys.path.insert(0, {folder!r})
from engine_models import Bucket, Hydrograph, Snowy, inputs

found = dict(Bucket=Bucket, Hydrograph=Hydrograph, Snowy=Snowy)
model = (found.get({name!r}) or getattr(models, {name!r}))()
for dtype, components, dynamic, tolerance in (
    (torch.float64, 1, False, 1e-9), (torch.float64, 3, True, 1e-9), (torch.float32, 2, False, 1e-4)
):
    groups = inputs(model, cells=9, components=components, time=20, dtype=dtype)
    if dynamic:
        wave = 1 + 0.1 * torch.sin(torch.arange(20, dtype=dtype))[:, None, None]
        first = next(iter(groups[1]))
        groups[1][first] = groups[1][first] * wave
    groups[0]["precipitation"][11, 4] = torch.nan
    leaves = [v.requires_grad_() for group in groups for v in group.values()]
    def weighted(values):
        random = torch.Generator().manual_seed(7)
        return sum(
            ((torch.rand(v.shape, generator=random, dtype=dtype) - 0.3) * v).sum() for v in values
        )
    series, final = eager.run(model, *groups, dt=1.0, outputs=list(model.outputs))
    expected = [*series.values(), *final.values()]
    slopes = torch.autograd.grad(weighted(expected), leaves, allow_unused=True)
    loop = GpuLoop(make_program(model, 1.0, dtype))
    series, final = run_loop(
        loop, tuple(range(len(model.outputs))), *(list(group.values()) for group in groups)
    )
    actual = [*series, *final]
    found = torch.autograd.grad(weighted(actual), leaves)
    for a, b in zip([*actual, *found], [*expected, *slopes]):
        b = torch.zeros_like(a) if b is None else b
        scale = float(b[b.isfinite()].abs().max())
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
"""
_MISFIT = """
import torch
from xdpl.engine.gpu_misfit import Misfit
from xdpl.engine.misfit import squared_misfit

draw = torch.Generator().manual_seed(0)
for dtype in (torch.float32, torch.float64):
    simulated = torch.rand(70, 41, generator=draw, dtype=dtype).requires_grad_()
    observed = torch.rand(70, 41, generator=draw, dtype=dtype)
    observed[torch.rand(70, 41, generator=draw) < 0.3] = torch.nan
    observed[:, 7] = torch.nan
    factor = torch.rand(41, generator=draw, dtype=dtype)
    found = []
    for way in (squared_misfit, Misfit.apply):
        total, count = way(simulated, observed)
        slope, = torch.autograd.grad(total, simulated, factor)
        found.append((total, count, slope))
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)
    broken = simulated.detach().clone()
    broken[3, 5], broken[4, 7] = torch.nan, torch.nan
    observed[3, 5] = 1.0
    total, _ = Misfit.apply(broken, observed)
    assert total.isnan().nonzero().flatten().tolist() == [5]
"""
_COMPILE = """
import os, subprocess, tempfile, torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from xdpl import models
from xdpl.engine.gpu import EVERY, GpuLoop, TILE, compile_source
from xdpl.engine.plan import Request
from xdpl.engine.program import make_program

program = make_program(models.HBV(), 1.0, torch.float32)
loop = GpuLoop(program)
every = tuple(range(len(program.parameters)))
for kind in ("forward", "reverse"):
    parameters = every if kind == "reverse" else ()
    source, names = loop.source(kind, Request(frozenset(every), (0,), (), parameters))
    kernel = compile_source(source, kind)
    sizes = ("cells", "components", "time", "segments")
    signature = {{f"{{k}}_{{i}}": "*fp32" for k, i in names}} | dict.fromkeys(sizes, "i32")
    constants = {{"EVERY": EVERY, "KEEP": True, "ACROSS": TILE, "DEEP": 1, "WIDE": False}}
    signature |= dict.fromkeys(constants, "constexpr")
    compiled = triton.compile(
        ASTSource(kernel, signature, constants),
        target=GPUTarget("cuda", 90, 32),
        options={{"num_warps": 1, "enable_fp_fusion": True}},
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin", delete=False) as file:
        file.write(compiled.asm["cubin"])
    tools = os.path.join(os.path.dirname(triton.__file__), "backends", "nvidia", "bin")
    dump = [os.path.join(tools, "cuobjdump"), "--dump-resource-usage", file.name]
    print(kind, subprocess.run(dump, capture_output=True, text=True, check=True).stdout)
"""


def run(program, interpret, **values):
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpret else "0"}
    done = subprocess.run(
        [sys.executable, "-c", program.format(**values)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Bucket", "Hydrograph", "Snowy", "HBV", "VIC", "GR4J"])
def test_same_as_eager_in_the_interpreter(name):
    run(_INTERPRET, True, folder=os.path.dirname(__file__), name=name)


@pytest.mark.slow
def test_compiles_for_a_gpu_that_isnt_here_without_spills():
    usage = run(_COMPILE, False)
    assert usage.count("STACK:0") == usage.count("LOCAL:0") == 2
    assert all(int(n) <= 128 for n in re.findall(r"REG:(\d+)", usage))


@pytest.mark.slow
def test_the_misfit_is_that_of_the_cpu():
    run(_MISFIT, True)
