"""A progress bar never needs more than text, and doesn't complain about it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import io, sys
sys.modules["ipywidgets"] = None  # as where it is not installed
import IPython, ipykernel.zmqshell
IPython.get_ipython = lambda: type("Shell", (), {"config": {"IPKernelApp": {}}})()
from xdpl.runtime.progress import tqdm
stream = io.StringIO()
for _ in tqdm(range(3), file=stream, desc="fit"):
    pass
print(stream.getvalue().split("\\r")[-1])
"""


def test_a_notebook_without_widgets_gets_text_and_no_warning():
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", CODE], capture_output=True, text=True, check=True
    )
    assert "IProgress" not in done.stderr
    assert "fit: 100%" in done.stdout
