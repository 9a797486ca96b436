"""Compiling in a process that has loaded nothing else: no library is there by accident."""

import os
import subprocess
import sys

SCRIPT = """
import torch
from xdpl.models import BUNDLED

for cls in BUNDLED:
    model = cls()
    forcing = {name: torch.rand(9, 4, dtype=torch.float64) for name in model.forcings}
    parameter = {
        name: torch.full((4,) if p.shared else (4, 1), sum(p.bounds) / 2, dtype=torch.float64)
        for name, p in model.parameters.items()
    }
    first = next(iter(model.outputs))
    fused, eager = (
        model.simulate(forcing, parameter, outputs=(first,), engine=engine)[0][first]
        for engine in ("fused", "eager")
    )
    torch.testing.assert_close(fused, eager, rtol=1e-9, atol=1e-12)
"""


def test_double_precision_compiles_in_a_plain_process(tmp_path):
    for _ in ("cold", "warm"):  # the second time the code comes from the cache
        environment = {**os.environ, "XDPL_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
