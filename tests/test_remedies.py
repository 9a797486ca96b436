"""Every remedy that recognition prints, run as printed, gives the right values.

Each case breaks a Dataset, provokes the message, takes the code out of it and runs it. Code that
names what is missing (an area, a thickness, the units) is refused as printed; with what was missing
it is right, too. The last test counts: no text with code may go unprovoked.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from layout_datasets import FULL, RAINY, SOIL, WARM, basins, extremes, grid, radiation

import xdpl
from xdpl.errors import XdplError
from xdpl.layout import match, read, recognise
from xdpl.layout.derive import latitudes

ROUNDING = 1e-3
"""xdpl keeps temperatures to 1/1024 degC."""
AREA = np.array([100.0, 500.0, 2000.0, 40.0])
_STARTS = re.compile(r"(?:ds = |ds\[|ds\.)")


def code_of(message: str) -> list[str]:
    """Statements in a message: an indented block, or what can be parsed from "ds" on."""
    block = [line[4:] for line in message.split("\n") if line.startswith("    ")]
    if block:
        return block
    found, at = [], 0
    while (start := _STARTS.search(message, at)) is not None:
        for end in range(len(message), start.end(), -1):
            text = message[start.start() : end]
            if text[-1] in ")\"]'e0123456789" and _is_assignment(text):
                found.append(text)
                at = end
                break
        else:
            at = start.end()
    return found


def _is_assignment(text: str) -> bool:
    try:
        lines = ast.parse(text).body
    except SyntaxError:
        return False
    return all(isinstance(line, (ast.Assign, ast.Delete)) for line in lines)


def run(code: list[str], ds: xr.Dataset, **more: object) -> xr.Dataset:
    names = {"ds": ds.copy(), "xr": xr, "np": np, "pd": pd, "xdpl": xdpl, **more}
    exec("\n".join(code), names)
    return names["ds"]


def values(ds: xr.Dataset, model=FULL, obs="qobs") -> dict[str, np.ndarray]:
    layout = recognise(ds, model, obs=obs)
    block = read(ds, layout)
    return {**block.forcing, **block.observed}


@dataclass
class Case:
    """A broken Dataset, what is right, and what is missing in the code."""

    name: str
    broken: Callable[[], xr.Dataset]
    right: Callable[[], dict[str, np.ndarray]]
    """Values by forcing or output; those not given are not compared."""
    missing: dict[str, str] = field(default_factory=dict)
    """Placeholders and what the user knows."""
    lines: tuple[int | None, int | None] = (None, None)
    """The alternatives that are true of the data."""
    model: object = FULL
    obs: object = "qobs"

    def provoke(self) -> str:
        with pytest.raises(XdplError) as caught:
            values(self.broken(), self.model, self.obs)
        return str(caught.value)


def true(*names: str) -> Callable[[], dict[str, np.ndarray]]:
    ours = {"precipitation": "prcp", "temperature": "tas", "streamflow": "qobs"}
    ours["potential_evaporation"] = "pet"
    return lambda: {n: basins()[ours[n]].transpose("time", "basin").values for n in names}


def units(name: str, given: str | None, factor: float = 1.0, shift: float = 0.0, **attrs: str):
    """Basins with a variable in other units."""

    def made() -> xr.Dataset:
        ds = basins()
        ds[name] = ((ds[name].astype(float) + shift) * factor).assign_attrs(units=given, **attrs)
        if given is None:
            del ds[name].attrs["units"]
        return ds

    return made


def volume(given: str, litres: float) -> Callable[[], xr.Dataset]:
    def made() -> xr.Dataset:
        ds = basins()
        flow = ds["qobs"].astype(float) * xr.DataArray(AREA * 1e6, dims="basin") / litres
        return ds.assign(qobs=flow.assign_attrs(units=given))

    return made


def with_(change: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[], xr.Dataset]:
    return lambda: change(basins())


def hourly(running: bool = False) -> Callable[[], xr.Dataset]:
    """Three days of hours with amounts, rates and extremes."""

    def made() -> xr.Dataset:
        ds = basins(24 * 20).assign_coords(
            time=pd.date_range("2001-01-01T01", periods=480, freq="h")
        )
        rain = ds["prcp"].values.reshape(4, 20, 24)
        rain = rain.cumsum(2) if running else rain
        attrs = {"units": "mm"} if running else {"units": "mm", "cell_methods": "time: sum"}
        ds["prcp"] = (ds["prcp"].dims, rain.reshape(4, 480), attrs)
        return ds

    return made


def daily() -> dict[str, np.ndarray]:
    """What the hours from 00:00 on make of a day; the first day lacks an hour, so it is missing."""
    ds = hourly()().isel(time=slice(23, 479))
    rain = ds["prcp"].values.reshape(4, 19, 24).sum(2).T
    mean = {n: ds[n].values.reshape(4, 19, 24).mean(2).T for n in ("tas", "pet")}
    return {"precipitation": rain, "temperature": mean["tas"], "potential_evaporation": mean["pet"]}


def expver(ds: xr.Dataset) -> xr.Dataset:
    final = ds["time"].dt.month == 1
    parts = [ds["tas"].where(final), ds["tas"].where(~final)]
    both = xr.concat(parts, pd.Index([1, 5], name="expver"))
    return ds.assign(tas=both.assign_attrs(units="degC"))


def layer(bounds: bool) -> Callable[[], xr.Dataset]:
    def made() -> xr.Dataset:
        ds = basins()
        ds["sm"] = (ds["tas"] * 0 + 30.0).assign_attrs(units="kg m-2")
        if bounds:
            ds = ds.assign_coords(depth=((), 5.0, {"units": "cm", "bounds": "edges"}))
            ds["edges"] = ("bnds", [0.0, 10.0])
        return ds

    return made


def latent(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(pet=(ds["pet"] / 86400 * 2.45e6).assign_attrs(units="W m-2"))


def zoned(zone: str) -> Callable[[xr.Dataset], xr.Dataset]:
    times = pd.date_range("2001-01-01", periods=60, tz=zone)
    return lambda ds: ds.assign_coords(time=times)


def without_leap_days() -> xr.Dataset:
    ds = basins(800, start="2003-06-01")
    return ds.isel(time=((ds["time"].dt.month != 2) | (ds["time"].dt.day != 29)).values)


def no_units_of_area(ds: xr.Dataset) -> xr.Dataset:
    return volume("m3 s-1", 86400e3)().assign(area=("basin", AREA))


ALL = ("precipitation", "temperature", "potential_evaporation", "streamflow")
MOISTURE = {"soil_moisture": np.full((60, 4), 0.3)}
SHUFFLED = [3, 0, 1, 2, *range(4, 60)]

CASES = [
    Case("inches", units("prcp", "in", 1 / 25.4), true(*ALL)),
    Case("metres", units("prcp", "m", 1e-3), true(*ALL)),
    Case("centimetres", units("prcp", "cm", 0.1, cell_methods="area: mean"), true(*ALL)),
    Case(
        "metres labelled mm day-1",
        units("prcp", "mm day-1", 1e-3),
        true(*ALL),
        {'"..."': '"m day-1"'},
        (0, 1),
    ),
    Case("kelvin labelled degC", units("tas", "degC", 1.0, 273.15), true(*ALL)),
    Case(
        "no unit is likely", units("tas", "degC", 1e4), true(*ALL), {'"..."': '"1e-4 degC"'}, (0, 1)
    ),
    Case(
        "units that are right all the same",
        units("prcp", "mm day-1", 1e-3),
        lambda: {"precipitation": basins()["prcp"].values.T * 1e-3},
        {'"..."': '"mm day-1"'},
    ),
    Case("no units", units("tas", None, 1.0, 273.15), true(*ALL), {'"..."': '"K"'}),
    Case("unknown units", units("prcp", "furlongish"), true(*ALL), {'"..."': '"mm day-1"'}),
    Case("units of something else", units("prcp", "K"), true(*ALL), {'"..."': '"mm day-1"'}),
    Case(
        "three problems at once",
        lambda: units("prcp", "in", 1 / 25.4)().assign(
            tas=basins()["tas"].assign_attrs(units=None), pet=latent(basins())["pet"]
        ),
        true(*ALL),
        {'"..."': '"degC"'},
    ),
    Case("latent heat", with_(latent), true(*ALL)),
    Case(
        "discharge in m3 s-1",
        volume("m3 s-1", 86400e3),
        true(*ALL),
        {"...": "[100, 500, 2000, 40]"},
    ),
    Case(
        "discharge in cfs",
        volume("cfs", 86400e3 * 0.3048**3),
        true(*ALL),
        {"...": "[100, 500, 2000, 40]"},
    ),
    Case("an area without units", with_(no_units_of_area), true(*ALL), {'"..."': '"km2"'}),
    Case(
        "water of a layer",
        layer(False),
        lambda: MOISTURE,
        {"= ...": "= 0.1"},
        model=SOIL,
        obs={"sm": "soil_moisture"},
    ),
    Case(
        "water of a layer with bounds",
        layer(True),
        lambda: MOISTURE,
        model=SOIL,
        obs={"sm": "soil_moisture"},
    ),
    Case("hours to days", hourly(), daily, model=FULL),
    Case(
        "fill values",
        with_(
            lambda ds: ds.assign(
                prcp=ds["prcp"]
                .where(ds["time"].dt.day % 5 == 0, -9999.0)
                .assign_attrs(units="mm day-1"),
                tas=ds["tas"].where(ds["time"].dt.day % 5 == 0, -9999.0).assign_attrs(units="degC"),
            )
        ),
        lambda: {"streamflow": basins()["qobs"].values.T},
    ),
    Case("expver", with_(expver), true(*ALL)),
    Case(
        "one level", with_(lambda ds: ds.assign(tas=ds["tas"].expand_dims("level", -1))), true(*ALL)
    ),
    Case(
        "members",
        with_(lambda ds: ds.assign(tas=ds["tas"].expand_dims(member=2))),
        true(*ALL),
        lines=(0, 1),
    ),
    Case(
        "mean of members",
        with_(lambda ds: ds.assign(tas=ds["tas"].expand_dims(member=2))),
        true(*ALL),
        lines=(1, 2),
    ),
    Case("UTC", with_(zoned("UTC")), true(*ALL)),
    Case("local days", with_(zoned("Asia/Tokyo")), true(*ALL)),
    Case("unsorted", with_(lambda ds: ds.isel(time=SHUFFLED)), true(*ALL)),
    Case("twice", with_(lambda ds: ds.isel(time=[0, 0, *range(1, 60)])), true(*ALL)),
    Case(
        "a time is missing",
        with_(
            lambda ds: ds.assign_coords(
                time=np.concatenate([ds["time"].values[:-1], [np.datetime64("NaT")]])
            )
        ),
        lambda: {n: v[:-1] for n, v in true(*ALL)().items()},
    ),
    Case(
        "missing days",
        with_(lambda ds: ds.isel(time=[0, 1, *range(3, 60)])),
        lambda: {
            "streamflow": np.where(np.arange(60)[:, None] == 2, np.nan, basins()["qobs"].values.T)
        },
    ),
    Case(
        "uneven steps",
        with_(
            lambda ds: ds.assign_coords(
                time=ds["time"] + (np.arange(60) == 7) * np.timedelta64(1, "h")
            )
        ),
        true(*ALL),
    ),
    Case(
        "no leap days",
        lambda: without_leap_days(),
        lambda: {"streamflow": without_leap_days()["qobs"].transpose("time", "basin").values},
    ),
    Case(
        "times beside their dimension",
        with_(lambda ds: ds.rename_dims(time="step").reset_index("time")),
        true(*ALL),
    ),
    Case(
        "no times at all",
        with_(lambda ds: ds.rename_dims(time="step").drop_vars("time")),
        true(*ALL),
        {
            "(dim, times)": '("step", pd.date_range("2001-01-01", periods=60))',
            "swap_dims(dim=": "swap_dims(step=",
        },
    ),
    Case(
        "steps without datetimes",
        with_(lambda ds: ds.assign_coords(time=np.arange(60))),
        true(*ALL),
        {"=times": '=pd.date_range("2001-01-01", periods=60)'},
        (1, 2),
    ),
    Case(
        "dates as text",
        with_(lambda ds: ds.assign_coords(time=ds["time"].dt.strftime("%Y-%m-%d"))),
        true(*ALL),
    ),
    Case(
        "two times",
        with_(
            lambda ds: ds.assign_coords(issued=("issued", ds["time"].values[:2])).rename(
                time="when"
            )
        ),
        true(*ALL),
        lines=(0, 1),
    ),
    Case(
        "two of one kind",
        lambda: (lambda ds: ds.assign(other=ds["rsds"]))(radiation(basins())),
        lambda: {"precipitation": basins()["prcp"].values.T},
    ),
    Case(
        "forcing as text",
        with_(lambda ds: ds.assign(prcp=ds["prcp"].astype(str))),
        lambda: {"precipitation": basins()["prcp"].values.T},
    ),
    Case(
        "months in another order",
        lambda: (
            basins()
            .drop_vars(["pet", "lat"])
            .assign(
                pet=(
                    ("basin", "month"),
                    np.roll(np.tile(np.arange(1.0, 13), (4, 1)), 3, 1),
                    {"units": "mm day-1"},
                )
            )
            .assign_coords(month=np.roll(np.arange(1, 13), 3))
        ),
        lambda: {
            "potential_evaporation": np.repeat(basins()["time"].dt.month.values[:, None], 4, 1)
        },
    ),
]


def plane(*drop: str) -> xr.Dataset:
    """A grid on dimensions that do not tell which one is Y."""
    return grid().rename(lat="a", lon="b").drop_vars(list(drop))


def bare(ds: xr.Dataset) -> xr.Dataset:
    for name in ("a", "b"):
        if name in ds.coords:
            ds[name].attrs.clear()
    return ds


def stacked() -> xr.Dataset:
    index = pd.MultiIndex.from_product([["u", "v"], [1, 2]], names=["state", "gauge"])
    coords = xr.Coordinates.from_pandas_multiindex(index, "basin")
    return basins().drop_vars("basin").assign_coords(coords)


FLOW_OF_GRID = {"streamflow": grid()["qobs"].values.reshape(40, 12)}

CASES += [
    Case("axes without attributes", lambda: bare(plane()), lambda: FLOW_OF_GRID),
    Case(
        "axes without coordinates",
        lambda: plane("a", "b").assign_coords(
            y=("a", [1.0, 2.0, 3.0]), x=("b", [1.0, 2.0, 3.0, 4.0])
        ),
        lambda: FLOW_OF_GRID,
    ),
    Case(
        "cells without names",
        with_(lambda ds: ds.drop_vars("basin")),
        true("streamflow"),
        {"=...": '=list("abcd")'},
    ),
    Case("several indexes", stacked, true("streamflow"), {"=...": '=list("abcd")'}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_code_of_a_message_gives_the_right_values(case):
    ds, message = case.broken(), case.provoke()
    code = code_of(message)[slice(*case.lines)]
    assert code, f"no code in: {message}"
    if case.missing:
        with pytest.raises(Exception):  # noqa: B017  what is missing can't be guessed
            values(run(code, ds), case.model, case.obs)
        for placeholder, known in case.missing.items():
            assert any(placeholder in line for line in code), message
            code = [line.replace(placeholder, known) for line in code]
    mended = run(code, ds)
    for _ in range(3):  # a second message may name what the first one hid
        try:
            found = values(mended, case.model, case.obs)
            break
        except XdplError as problem:
            mended = run(code_of(str(problem)), mended)
    else:
        raise AssertionError(f"not mended by {code}")
    for name, right in case.right().items():
        tail = found[name][-len(right) :]  # of days, those that are whole
        tail = found[name][1:20] if case.name == "hours to days" else tail
        np.testing.assert_allclose(tail, right, rtol=1e-4, atol=ROUNDING, err_msg=name)


def test_running_totals_are_undone_and_then_summed():
    ds, code = hourly(running=True)(), []
    for _ in range(3):
        with pytest.raises(XdplError) as caught:
            values(ds, FULL)
        code = code_of(str(caught.value))
        ds = run(code, ds)
        if "resample" in code[0]:
            break
    np.testing.assert_allclose(
        values(ds)["precipitation"][1:20], daily()["precipitation"], rtol=1e-4
    )


def test_monthly_totals_get_no_code():
    ds = basins(24).assign_coords(time=pd.date_range("2001-01-01", periods=24, freq="MS"))
    with pytest.raises(XdplError, match="daily values are missing") as caught:
        recognise(ds, RAINY, obs="qobs")
    assert not code_of(str(caught.value))


def test_extremes_stay_extremes_of_the_day():
    ds = extremes(hourly()())
    with pytest.raises(XdplError) as caught:
        recognise(ds, WARM, obs="qobs")
    mended = run(code_of(str(caught.value)), ds)
    high, low = (
        ds[n].isel(time=slice(23, 479)).values.reshape(4, 19, 24) for n in ("tasmax", "tasmin")
    )
    found = read(mended, recognise(mended, WARM, obs="qobs")).forcing["temperature"][1:20]
    np.testing.assert_allclose(found, (high.max(2) + low.min(2)).T / 2, atol=ROUNDING)
    assert mended["slope"].dims == ("basin",)


def test_storages_are_averaged_and_not_summed():
    ds = hourly()()
    name = "lwe_thickness_of_surface_snow_amount"
    ds["swe"] = (ds["tas"] * 0 + 50.0).assign_attrs(units="mm", standard_name=name)
    with pytest.raises(XdplError) as caught:
        recognise(ds, FULL, obs="qobs")
    assert float(run(code_of(str(caught.value)), ds)["swe"].mean()) == pytest.approx(50.0)


def test_what_no_code_can_give_is_named():
    fitted = recognise(basins(), FULL, obs="qobs")
    with pytest.raises(XdplError, match=r"no observations of 'streamflow'.*\.rename") as caught:
        match(basins().rename(qobs="Q").drop_attrs(), fitted, observed=True)
    assert code_of(str(caught.value))[0].replace("...", "Q") == 'ds = ds.rename({"Q": "qobs"})'
    with pytest.raises(XdplError, match=r"latitude of the cells is not known.*\(dims, values"):
        latitudes(basins(), replace(fitted, latitude=None))


ROOMS = ("units.py", "layout/times.py", "layout/aggregate.py", "layout/accumulated.py")
ROOMS += ("layout/magnitudes.py", "layout/context.py", "layout/area.py", "layout/candidates.py")
ROOMS += ("layout/axes.py", "layout/derive.py", "layout/recognise.py", "layout/potential.py")
ROOMS += ("layout/roles.py", "layout/choose.py", "layout/periods.py", "layout/derivations.py")
_CODE = re.compile(r"ds = |\] = |\.attrs\[|\.assign|\.resample|= ds")


def fragments(path: Path) -> list[str]:
    """Pieces of text in the source that hold code for the user."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in plain
        and _CODE.search(node.value)
    ]


def test_no_code_goes_unprovoked(record_property):
    provoked = [case.provoke() for case in CASES]
    ds = hourly(running=True)()
    for sign in (1.0, -1.0):
        total = ds.assign(prcp=(sign * ds["prcp"].cumsum("time")).assign_attrs(units="mm"))
        with pytest.raises(XdplError) as caught:
            values(total.assign_coords(time=ds["time"]))
        provoked.append(str(caught.value))
    half = ds.assign_coords(time=ds["time"] + np.timedelta64(30, "m"))
    for one in (ds, half):
        with pytest.raises(XdplError) as caught:
            values(one)
        provoked.append(str(caught.value))
    fitted = recognise(basins(), FULL, obs="qobs")
    others: list[Callable[[], object]] = [
        lambda: recognise("data.nc", FULL, obs="qobs"),
        lambda: match(basins().rename(qobs="Q").drop_attrs(), fitted, observed=True),
        lambda: latitudes(basins(), replace(fitted, latitude=None)),
        lambda: recognise(plane("a", "b"), FULL, obs="qobs"),
        lambda: recognise(basins().rename(slope=1), FULL, obs="qobs"),
    ]
    for provoke in others:
        with pytest.raises(XdplError) as caught:
            provoke()
        provoked.append(str(caught.value))
    root = Path(xdpl.__file__).parent
    texts = {(room, text) for room in ROOMS for text in fragments(root / room)}
    lost = [pair for pair in texts if not any(pair[1] in message for message in provoked)]
    assert len(texts) > 20 and not lost, lost
    record_property("remedies", len({line for m in provoked for line in code_of(m)}))
