"""Check the fused loop on a GPU against the eager one, and time it.

    python benchmarks/gpu.py --out results.json

Needs torch, Triton, NumPy and this repository only; hydrodl2 is timed, too, where it is installed.
HBV with a squared misfit is timed, forward and backward, with events of the device; every kernel of
the bundled models is compared with the eager loop in both precisions. ``--device cpu`` runs all of
it at small sizes with the CPU's engine, to see that the script itself works.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import json
import multiprocessing
import os
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("fused", "eager", "compiled step", "hydrodl2")
Groups = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]


def use_package() -> None:
    """Import xdpl's engine and models where xarray, which they don't need, is missing."""
    sys.path.insert(0, str(ROOT))
    if importlib.util.find_spec("xarray") is None:
        package = types.ModuleType("xdpl")
        package.__path__ = [str(ROOT / "xdpl")]
        sys.modules["xdpl"] = package


def bundled() -> list[Any]:
    """Return all bundled models that are single steps."""
    from xdpl import models

    return [models.HBV(), models.HBV(capillary_rise=False), models.VIC(), models.GR4J()]


def draw(model: Any, size: tuple[int, int, int], dtype: torch.dtype, device: str) -> Groups:
    """Return forcings, parameters within their bounds and initial states."""
    cells, components, days = size
    random = torch.Generator(device).manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random, dtype=dtype, device=device)

    forcing = {n: 10 * uniform(days, cells) for n in model.forcings}
    if "temperature" in forcing:
        forcing["temperature"] = 3 * forcing["temperature"] - 15
    parameter = {}
    for name, p in model.parameters.items():
        low, high = p.bounds
        if not p.shared:
            parameter[name] = low + (high - low) * (0.05 + 0.9 * uniform(cells, components))
    shapes = {n: (cells, components, s.size)[: 2 + (s.size > 1)] for n, s in model.states.items()}
    state = {n: model.states[n].initial + 5 * uniform(*shape) for n, shape in shapes.items()}
    return forcing, parameter, state


# ---- correctness --------------------------------------------------------------------------
def compare(model: Any, device: str, dtype: torch.dtype, components: int, dynamic: bool) -> float:
    """Return the largest difference from the eager loop, relative to each array's size."""
    from xdpl.engine import simulate

    groups = draw(model, (37, components, 50), dtype, device)
    if dynamic:
        wave = 1 + 0.05 * torch.sin(torch.arange(50, dtype=dtype, device=device))[:, None, None]
        groups = (groups[0], {n: p * wave for n, p in groups[1].items()}, groups[2])
    leaves = [v.requires_grad_() for group in groups for v in group.values()]
    results = []
    for engine in ("eager", "fused"):
        out, final = simulate(model, *groups, engine=engine)
        values = [*out.values(), *final.values()]
        random = torch.Generator(device).manual_seed(7)
        weights = [
            torch.rand(v.shape, generator=random, dtype=dtype, device=device) for v in values
        ]
        parts = [((w - 0.3) * v).sum() for w, v in zip(weights, values, strict=True)]
        loss = torch.stack(parts).sum()
        slopes = torch.autograd.grad(loss, leaves, allow_unused=True)
        zero = [
            torch.zeros_like(v) if s is None else s for s, v in zip(slopes, leaves, strict=True)
        ]
        results.append([v.detach() for v in values] + zero)
    return max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
        for b, a in zip(*results, strict=True)
    )


LIMITS = {torch.float64: 1e-9, torch.float32: 1e-2}


def check(device: str) -> list[dict[str, Any]]:
    """Compare every bundled model in both precisions, static and dynamic, one and several parts.

    A process for each comparison, since most of the time goes into compiling; the model that takes
    longest comes first.
    """
    jobs = [
        (device, number, dtype, components, dynamic)
        for number in reversed(range(len(bundled())))
        for dtype in LIMITS
        for dynamic in (True, False)
        for components in (3, 1)
    ]
    workers = min(len(jobs), os.cpu_count() or 1)
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        return list(pool.map(check_one, jobs))


def check_one(job: tuple[str, int, torch.dtype, int, bool]) -> dict[str, Any]:
    """Compare one model in one precision."""
    device, number, dtype, components, dynamic = job
    torch.set_num_threads(1)
    use_package()
    model = bundled()[number]
    error = compare(model, device, dtype, components, dynamic)
    row = {
        "model": str(model),
        "dtype": str(dtype).removeprefix("torch."),
        "components": components,
        "dynamic": dynamic,
        "error": error,
        "right": error <= LIMITS[dtype],
    }
    print(row, flush=True)
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Return the times as a table of markdown."""
    columns = ("forward ms", "both ms", "graphed ms", "memory MB")
    lines = ["| size | way | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for row in rows:
        days = f", {row['days timed']} days timed" if "days timed" in row else ""
        cells = [row.get(c, row.get("failed", "")) for c in columns]
        shown = [f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells]
        lines.append(f"| {tuple(row['size'])}{days} | {row['way']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    """Run all of it, and write one file of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--largest-eager", type=int, default=20000, help="columns")
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--only", nargs="*", default=["limits", "times", "registers", "checks"])
    parser.add_argument("--out", default="gpu.json")
    options = parser.parse_args()
    use_package()
    import gpu_times  # beside this file; needs the package

    machine = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    results: dict[str, Any] = {"machine": machine, "torch": torch.__version__}
    parts = {
        "limits": lambda: gpu_times.limits(options),
        "times": lambda: gpu_times.measure(options),
        "registers": gpu_times.registers,
        "checks": lambda: check(options.device),
    }
    for name in options.only:
        results[name] = parts[name]()
        Path(options.out).write_text(json.dumps(results, indent=1))
    wrong = [row for row in results.get("checks", ()) if not row["right"]]
    print(f"{machine}: {len(results.get('checks', ()))} comparisons, {len(wrong)} wrong")
    print(table(results.get("times", [])))
    print(json.dumps(results.get("limits")))
    for row in results.get("registers", ()):
        print(json.dumps(row))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
