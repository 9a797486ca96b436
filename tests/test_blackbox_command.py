"""Executables: files written, a command run, files read, and every way in which that goes wrong."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import boxes
import numpy as np
import pytest

from xdpl.blackbox import Column, CommandLine, Table, execute
from xdpl.errors import DeclarationError

PROGRAM = """
import os, sys, time
recession = float(open("parameters.txt").read().split("=")[1])
if recession > 0.85:
    print("the storage is empty", file=sys.stderr); sys.exit(4)
if recession > 0.8:
    time.sleep(60)
rows = [line.split(",") for line in open("weather/rain.csv").read().splitlines()[2:]]
if recession > 0.7:
    rows = rows[:5]
if recession > 0.6:
    sys.exit(0)
with open("out.csv", "w") as out:
    out.write("# made by a test\\nday,flow\\n")
    for day, rain in rows:
        out.write(f"{day},{recession * float(rain) / 10:.9g}\\n")
"""


def command(**changed) -> CommandLine:
    return CommandLine(
        **{
            "command": [sys.executable, "-S", "program.py"],
            "files": {
                "program.py": lambda path, *_: path.write_text(PROGRAM),
                "parameters.txt": "recession={recession:.6f}\n",
                "weather/rain.csv": Table(
                    "{time:%Y-%m-%d},{precipitation:.9g}", header="cell {cell}, {steps} days\nd,p"
                ),
            },
            "read": {"streamflow": Column("out.csv", "flow", 1, ",", units="cm day-1")},
            "name": "program",
            **boxes.DECLARED,
            **changed,
        }
    )


def one(box, **parameter):
    return execute(box, boxes.jobs(1, **parameter))[0]


def test_a_command_reads_and_writes_files():
    outcome = one(command())
    assert not outcome.cause, outcome.message
    expected = 0.2 * boxes.jobs()[0].forcing["precipitation"]
    np.testing.assert_allclose(outcome.values["streamflow"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("recession", "cause", "told"),
    [
        (0.9, "status 4", "ended with status 4. Its stderr: the storage is empty"),
        (0.82, "timeout", "was ended after 1 s. It wrote nothing to stderr."),
        (0.65, "missing output", "the command wrote no file 'out.csv'; the folder holds"),
    ],
)
def test_failures_are_told_with_stderr(recession, cause, told):
    began = time.perf_counter()
    outcome = one(command(timeout=1.0), recession=recession)
    assert outcome.cause == cause and told in outcome.message
    assert time.perf_counter() - began < 30


def test_of_a_large_stderr_only_the_end_is_read():
    program = "import os; os.ftruncate(2, 10**11); os.lseek(2, 0, 2); os.write(2, b'no'); 1 / 0"
    outcome = one(command(command=[sys.executable, "-S", "-c", program]))
    assert outcome.cause == "status 1" and "ZeroDivisionError" in outcome.message


def test_too_few_steps_a_lost_column_and_no_program():
    short = command(files={**command().files, "weather/rain.csv": "a\nb\n2000-01-01,1\n"})
    assert one(short).cause == "steps"
    lost = command(read={"streamflow": Column("out.csv", "runoff", 1, ",")})
    assert "column 'runoff' of 'out.csv' can't be read: KeyError" in one(lost).message
    absent = one(command(command=["no-such-program-anywhere"]))
    assert absent.cause == "not started" and "can't be started" in absent.message


def test_columns_by_place_and_functions_that_write_and_read(tmp_path):
    fixed = tmp_path / "fixed.txt"
    fixed.write_text("kept")

    def write(path: Path, forcings, parameters):
        path.write_text("\n".join(f"{v:.9g}" for v in forcings["precipitation"]))

    def read(folder: Path):
        assert (folder / "copy.txt").read_text() == "kept"
        return {"streamflow": np.loadtxt(folder / "rain.txt")}

    rain = boxes.jobs()[0].forcing["precipitation"]
    echo = [sys.executable, "-S", "-c", "pass"]
    for reader in (read, {"streamflow": Column("rain.txt", -1)}):
        box = command(command=echo, files={"rain.txt": write, "copy.txt": fixed}, read=reader)
        outcome = one(box)
        assert not outcome.cause, outcome.message
        np.testing.assert_allclose(outcome.values["streamflow"], rain, rtol=1e-6)


def test_templates_and_commands_that_cannot_work_are_refused():
    with pytest.raises(DeclarationError, match="can't be filled in: KeyError: 'recesion'"):
        one(command(files={"parameters.txt": "{recesion}"}))
    with pytest.raises(DeclarationError, match="can't be filled in: KeyError: 'rain'.* precipitat"):
        one(command(files={"rain.csv": Table("{time};{rain}")}))
    with pytest.raises(DeclarationError, match="command is 'raven model'. Give program and"):
        command(command="raven model")
    with pytest.raises(DeclarationError, match="read tells of runoff; the outputs are streamflow"):
        command(read={"runoff": Column("out.csv")})
