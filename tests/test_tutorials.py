"""The tutorials run from top to bottom, on the real data."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TUTORIALS = (
    "01_first_fit_smap",
    "02_basins_streamflow",
    "03_external_model",
    "04_equifinality",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_tutorial_runs(name, repository, data_folder, tmp_path):
    source = repository / "tutorials" / f"{name}.py"
    notebook = tmp_path / f"{name}.ipynb"
    environment = {**os.environ, "XDPL_DATA": str(data_folder), "OMP_WAIT_POLICY": "PASSIVE"}
    for command in (
        ["jupytext", "--to", "ipynb", "--output", notebook, source],
        ["pytest", "-q", "-p", "no:cacheprovider", "--nbmake", "--nbmake-timeout=600",
         "--rootdir", tmp_path, "-c", os.devnull, notebook],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", *map(str, command)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
