"""Black boxes: what they declare, how one run is made and judged, and many side by side."""

from __future__ import annotations

import os
import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import boxes
import numpy as np
import pandas as pd
import pytest
import torch
import toy
import xarray as xr

from xdpl import Output, Parameter
from xdpl.blackbox import Failure, Failures, Function, execute, run_all, run_cells, times_before
from xdpl.blackbox.pool import shared_processes
from xdpl.errors import DeclarationError, ModelRunError, UnitsError

HUNG = ("timeout", "it hung")


def one(box, **parameter):
    return execute(box, boxes.jobs(1, **parameter))[0]


def test_a_box_declares_what_any_model_declares():
    box, model = boxes.NumpyBucket(), toy.Bucket()
    assert box.parameters == model.parameters and box.forcings == model.forcings
    assert list(box.outputs) == ["streamflow"] and box.name == "NumpyBucket"
    assert boxes.of(boxes.bucket).name == "bucket"


def test_a_run_gives_what_the_model_itself_gives():
    (job,) = boxes.jobs(1, steps=50)
    given = {k: torch.tensor(v[:, None]) for k, v in job.forcing.items()}
    expected, _ = toy.Bucket().simulate(
        given,
        {k: torch.tensor([[v]], dtype=torch.float64) for k, v in job.parameter.items()},
        engine="eager",
    )
    outcome = execute(boxes.of(boxes.bucket), [job])[0]
    np.testing.assert_allclose(
        outcome.values["streamflow"], expected["streamflow"][:, 0].numpy(), rtol=1e-6
    )
    assert not outcome.cause and outcome.number == 0 and outcome.seconds > 0


def test_functions_on_xarray_by_names_and_in_other_units():
    def on_xarray(weather: xr.Dataset, parameters):
        flow = parameters["recession"] * weather["precipitation"]
        assert weather["precipitation"].attrs["units"] == "mm day-1"
        return xr.Dataset({"streamflow": (flow / 86400).assign_attrs(units="kg m-2 s-1")})

    def by_names(precipitation, potential_evaporation, recession, evaporation_factor):
        return recession * precipitation

    expected = 0.2 * boxes.jobs()[0].forcing["precipitation"]
    for function, on in ((on_xarray, "xarray"), (by_names, "names")):
        found = one(boxes.of(function, on=on))
        assert not found.cause, found.message
        np.testing.assert_allclose(found.values["streamflow"], expected, rtol=1e-6)


def test_a_run_knows_its_times_its_cell_and_a_folder_of_its_own():
    seen = []

    def look(forcings, parameters):
        assert forcings.folder.is_dir() and not list(forcings.folder.iterdir())
        seen.append((forcings.folder, forcings.cell, forcings.dt, forcings.time[0]))
        (forcings.folder / "left").touch()
        assert list(forcings.to_dataframe()) == list(forcings)
        return boxes.bucket(forcings, parameters)

    outcomes = []
    run_all(boxes.of(look), boxes.jobs(3), outcomes.append, scheduler="threads", workers=2)
    assert [o.cause for o in outcomes] == ["", "", ""]
    assert len({folder for folder, *_ in seen}) == 3
    assert not any(folder.exists() for folder, *_ in seen)
    assert {cell for _, cell, *_ in seen} == {"cell 0", "cell 1", "cell 2"}
    assert seen[0][2:] == (1.0, pd.Timestamp("2000-01-01"))


@pytest.mark.parametrize(
    ("returned", "cause", "told"),
    [
        (lambda f, p: {"streamflow": f["precipitation"] * np.nan}, "NaN", "30 of 30 values"),
        (lambda f, p: {"streamflow": f["precipitation"][:7]}, "steps", r"shape \(7,\), not"),
        (lambda f, p: {"runoff": f["precipitation"]}, "missing output", "gave runoff, and no"),
        (lambda f, p: (1, 2), "missing output", "returned 2 values for 1 outputs"),
        (lambda f, p: 3.0, "missing output", "returned a float"),
        (lambda f, p: {}["no"], "KeyError", r"KeyError: 'no' \(test_blackbox.py"),
        (
            lambda f, p: {"streamflow": xr.DataArray(f["precipitation"], attrs={"units": "degC"})},
            "units",
            "'degC', which can't be converted to 'mm day-1'",
        ),
    ],
)  # fmt: skip
def test_a_run_that_fails_is_told_with_its_cause(returned, cause, told):
    import re

    outcome = one(boxes.of(returned))
    assert outcome.cause == cause and re.search(told, outcome.message), outcome.message
    assert not outcome.values


def test_declarations_that_cannot_work_are_refused():
    with pytest.raises(DeclarationError, match="function is 3. Give a function to call"):
        Function(3, **boxes.DECLARED)
    with pytest.raises(DeclarationError, match="on='pandas' is unknown"):
        boxes.of(boxes.bucket, on="pandas")
    with pytest.raises(DeclarationError, match=r"outputs of bucket hold \{\}"):
        boxes.of(boxes.bucket, outputs={})
    box = boxes.of(boxes.bucket)
    wrong = {"recession": Output("mm")}
    with pytest.raises(DeclarationError, match="parameters of bucket hold 'recession': Output"):
        boxes.of(boxes.bucket, parameters=wrong)
    with pytest.raises(DeclarationError, match="scheduler='gpu' is unknown"):
        run_all(box, [], print, scheduler="gpu")


def test_a_mistake_in_the_declarations_is_no_failure_of_a_run():
    def misdeclared(forcings, parameters):
        raise UnitsError("units of the box are wrong")

    with pytest.raises(UnitsError, match="units of the box are wrong"):
        one(boxes.of(misdeclared))


def test_vectorised_boxes_run_many_cells_at_a_time_and_find_the_one_to_blame():
    calls = []

    class Box(boxes.NumpyBucket):
        def run(self, forcings, parameters):
            calls.append(forcings["precipitation"].shape)
            if (parameters["recession"] > 0.8).any():
                raise ValueError("too fast")
            return boxes.bucket(forcings, parameters)

    fine = boxes.jobs(5)
    together = execute(Box(), fine)
    alone = execute(boxes.of(boxes.bucket), fine)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.values["streamflow"], b.values["streamflow"], rtol=1e-6)
    assert calls == [(30, 5)]
    found = execute(Box(), [*fine, *boxes.jobs(1, recession=0.85)])
    assert [o.cause for o in found] == [""] * 5 + ["ValueError"]


def test_what_hangs_dies_or_changes_directory_is_contained():
    def moody(forcings, parameters):
        from pathlib import Path

        assert Path.cwd().samefile(forcings.folder)
        if parameters["recession"] > 0.7:
            time.sleep(60)
        if parameters["recession"] > 0.5:
            os._exit(3)
        return {"streamflow": forcings["precipitation"]}

    here = os.getcwd()
    box = boxes.of(moody, timeout=1.0)
    began = time.perf_counter()
    found = [one(box, recession=r) for r in (0.2, 0.8, 0.6, 0.3)]
    assert [o.cause for o in found] == ["", "timeout", "died", ""], [o.message for o in found]
    assert "ended after 1 s" in found[1].message and "with status 3" in found[2].message
    assert time.perf_counter() - began < 60 and os.getcwd() == here


def test_what_goes_wrong_in_the_other_process_is_a_failed_run():
    def sick(forcings, parameters):
        raise ArithmeticError("the outlet is too wide")

    outcome = one(boxes.of(sick, isolate=True))
    assert outcome.cause == "ArithmeticError" and "the outlet is too wide" in outcome.message


def test_mistakes_in_the_declarations_are_told_from_the_other_process():
    def misdeclared(forcings, parameters):
        raise UnitsError("units of the box are wrong")

    with pytest.raises(UnitsError, match="units of the box are wrong"):
        one(boxes.of(misdeclared, isolate=True))


class Stuck:
    """Can be pickled or not, but never comes back."""

    def __init__(self, sendable):
        self.sendable = sendable

    def __reduce__(self):
        if not self.sendable:
            raise TypeError("it is stuck here")
        return int, ("it is stuck there",)


@pytest.mark.parametrize(("sendable", "where"), [(False, "here"), (True, "there")])
def test_a_box_that_cannot_be_sent_is_refused(sendable, where):
    stuck = Stuck(sendable)

    def holding(forcings, parameters):
        return stuck

    with pytest.raises(DeclarationError, match=f"holding can't be sent to a proc.* stuck {where}"):
        one(boxes.of(holding, isolate=True))


def test_a_process_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr("xdpl.blackbox.isolated.START", 0.001)
    outcome = one(boxes.of(boxes.bucket, isolate=True))
    assert outcome.cause == "not started" and "did not start within 0.001 s" in outcome.message


def test_what_a_contained_run_prints_and_reads_is_not_mistaken_for_answers():
    def chatty(forcings, parameters):
        print("hello", flush=True)  # noqa: T201
        os.write(1, b"hello")
        assert not os.read(0, 10)
        return {"streamflow": forcings["precipitation"]}

    assert not one(boxes.of(chatty, isolate=True)).cause


def test_no_process_outlives_the_work():
    def where(forcings, parameters):
        return {"streamflow": np.full(len(forcings.time), os.getpid())}

    for scheduler in ("threads", "synchronous"):
        found = []
        box = boxes.of(where, isolate=True)
        run_all(box, boxes.jobs(2), found.append, scheduler=scheduler, workers=1)
        (pid,) = {int(outcome.values["streamflow"][0]) for outcome in found}
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_filters_of_warnings_are_left_as_they_were():
    def warning(forcings, parameters):
        warnings.warn("of a run", stacklevel=1)
        time.sleep(0.002)
        return {"streamflow": forcings["precipitation"]}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        for scheduler in ("threads", "synchronous"):
            found = []
            run_all(boxes.of(warning), boxes.jobs(40), found.append, scheduler=scheduler, workers=4)
            assert {o.message for o in found} == {""} and warnings.filters == before
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda job: execute(boxes.of(warning), [job]), boxes.jobs(40)))
        assert warnings.filters == before


@pytest.mark.parametrize("scheduler", ["threads", "synchronous", "processes"])
def test_runs_side_by_side_give_the_same(scheduler):
    def quick(forcings, parameters):  # sent by value: another process need not import torch
        return {"streamflow": parameters["recession"] * forcings["precipitation"]}

    found = []
    run_all(boxes.of(quick), boxes.jobs(4), found.append, scheduler=scheduler, workers=2)
    assert sorted(o.number for o in found) == [0, 1, 2, 3]
    expected = one(boxes.of(quick)).values["streamflow"]
    for outcome in found:
        np.testing.assert_array_equal(outcome.values["streamflow"], expected)


def test_work_done_at_the_same_time_gets_its_own_outcomes():
    def slow(forcings, parameters):
        time.sleep(0.001)
        return {"streamflow": np.full(len(forcings.time), parameters["recession"])}

    def work(rate):
        found = []
        run_all(
            boxes.of(slow), boxes.jobs(20, recession=rate), found.append, scheduler="synchronous"
        )
        return found

    rates = [0.1, 0.2, 0.3, 0.4]
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(work, rates))
    for rate, found in zip(rates, several, strict=True):
        assert [o.number for o in found] == list(range(20))
        np.testing.assert_allclose([o.values["streamflow"] for o in found], rate)


def test_processes_are_started_once_for_many_calls():
    def where(forcings, parameters):
        return {"streamflow": np.full(len(forcings.time), os.getpid())}

    found, box = [], boxes.of(where)
    with shared_processes(box, "processes", 1):
        for _ in range(2):
            run_all(box, boxes.jobs(2), found.append, scheduler="processes")
    pids = {float(outcome.values["streamflow"][0]) for outcome in found}
    assert len(found) == 4 and len(pids) == 1 and os.getpid() not in pids


@pytest.mark.parametrize("scheduler", ["threads", "processes", "synchronous"])
def test_a_contained_box_starts_its_process_once_for_many_calls(scheduler):
    def where(forcings, parameters):
        return {"streamflow": np.full(len(forcings.time), os.getpid())}

    found, box = [], boxes.of(where, isolate=True)
    with shared_processes(box, scheduler, 1):
        for _ in range(2):
            run_all(box, boxes.jobs(2), found.append, scheduler=scheduler, workers=1)
    (pid,) = {int(outcome.values["streamflow"][0]) for outcome in found}
    assert len(found) == 4 and pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_runs_on_a_cluster(processes):
    distributed = pytest.importorskip("distributed")

    def where(forcings, parameters):
        return {"streamflow": np.full(len(forcings.time), os.getpid())}

    found = []
    with (
        distributed.LocalCluster(
            n_workers=1, processes=processes, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pid = list(client.run(os.getpid).values())[0]
        run_all(boxes.of(where, isolate=processes), boxes.jobs(3), found.append, scheduler=client)
    assert sorted(o.number for o in found) == [0, 1, 2]
    assert [o.message for o in found] == [""] * 3
    pids = {float(o.values["streamflow"][0]) for o in found}
    assert len(pids) == 1 and (pids == {pid}) != processes


@pytest.mark.slow
def test_runs_go_on_where_a_worker_dies(tmp_path):
    distributed = pytest.importorskip("distributed")
    mark = tmp_path / "killed"

    def deadly(forcings, parameters):
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return boxes.bucket(forcings, parameters)

    found = []
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        run_all(boxes.of(deadly), boxes.jobs(3), found.append, scheduler=client)
    assert mark.exists() and [o.message for o in found] == [""] * 3


def test_cells_get_the_mean_of_their_components_and_nan_where_a_run_failed():
    def picky(forcings, parameters):
        if forcings.cell == "c":
            raise ValueError("no")
        return {"streamflow": parameters["recession"] * np.ones(len(forcings.time))}

    names = [f"{i}" for i in range(11)] + ["c"]
    forcing = {k: np.ones((5, 12)) for k in ("precipitation", "potential_evaporation")}
    parameter = {
        "recession": np.tile([0.1, 0.3], (12, 1)),
        "evaporation_factor": np.full(12, 1.0),
    }
    found, failures = run_cells(
        boxes.of(picky), forcing, parameter, time=pd.date_range("2000", periods=5), dt=1.0,
        label=names, scheduler="synchronous",
    )  # fmt: skip
    np.testing.assert_allclose(found["streamflow"][:, :11], 0.2, rtol=1e-6)
    assert np.isnan(found["streamflow"][:, 11]).all()
    assert failures.causes == {"ValueError": 2} and "cell c, recession=0.1" in failures.message


def test_more_than_a_tenth_of_failures_stops_with_the_counts():
    failures = Failures("Box", wanted=30, kept="runs")
    for cause in ("NaN", "timeout", "NaN"):
        failures.add(Failure("a", {"x": 1.0}, cause, f"it was {cause}"))
    with pytest.raises(
        ModelRunError, match=r"4 of 4 runs .* the 30 wanted: 3 NaN, 1 t.* kept in 'runs'."
    ):
        failures.add(Failure("b", {"x": 2.0}, "NaN", "it was NaN"))
    many = Failures("Box", wanted=100_000, done=19, found=[hung := Failure("a", {"x": 1.0}, *HUNG)])
    many.found *= 12
    with pytest.raises(ModelRunError, match="13 of 20 runs of Box failed.*: it hung") as lost:
        many.add(hung)
    assert "kept" not in str(lost.value)


def test_times_go_back_without_a_gap():
    index = pd.date_range("2001-01-01", periods=400)
    back = times_before(index, 365)
    assert back[0] == pd.Timestamp("2000-01-02") and (np.diff(back) == np.timedelta64(1, "D")).all()
    noleap = xr.date_range("2001-01-01", periods=10, calendar="noleap", use_cftime=True)
    back = times_before(noleap, 5)
    assert len(back) == 15 and str(back[0]).startswith("2000-12-27")
    assert times_before(index, 0) is index


def test_a_parameter_of_a_box_keeps_its_declaration():
    p = Parameter("mm", bounds=(1, 2), long_name="depth")
    assert boxes.of(boxes.bucket, parameters={"a": p}).parameters == {"a": p}
