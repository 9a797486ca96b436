"""Which model and which output an observation is held against."""

from __future__ import annotations

import pytest
import xarray as xr
from layout_datasets import FLOW, FULL, RAIN, RAINY, SOIL, Declares, basins

from xdpl.errors import LayoutError
from xdpl.layout import choose_output, recognise
from xdpl.models import GR4J, HBV, VIC
from xdpl.variables import Output

OURS = (SOIL, RAINY, FULL)


def observed(name="qobs", **attrs):
    ds = basins().rename(qobs=name)
    ds[name].attrs.update(attrs)
    return ds


@pytest.mark.parametrize("name", ["qobs", "streamflow", "Discharge", "runoff", "Q"])
def test_streamflow_by_name_takes_the_model_that_is_for_it(name):
    assert choose_output(observed(name), name, OURS) == {name: (RAINY, "streamflow")}


def test_soil_moisture_by_standard_name_or_name():
    standard = {"standard_name": "volume_fraction_of_condensed_water_in_soil", "units": "m3 m-3"}
    ds = observed("anything", **standard)
    assert choose_output(ds, "anything", OURS) == {"anything": (SOIL, "soil_moisture")}
    for name in ("SMAP", "soil_moisture", "sm", "SSM"):
        ds = observed(name, units="percent")
        assert choose_output(ds, name, OURS)[name] == (SOIL, "soil_moisture")


@pytest.mark.parametrize(("name", "model"), [("SMAP", VIC), ("qobs", HBV)])
def test_defaults_among_the_bundled_models(name, model):
    ds = observed(name, units="m3 m-3" if name == "SMAP" else "mm day-1")
    chosen = choose_output(ds, name, (VIC, GR4J, HBV) if name == "SMAP" else (VIC, HBV, GR4J))
    assert chosen[name][0] is model


def test_real_observations(smap, mopex):
    assert choose_output(smap, "SMAP", (VIC, HBV, GR4J))["SMAP"][0] is VIC
    assert choose_output(mopex, "qobs", (VIC, HBV, GR4J)) == {"qobs": (HBV, "streamflow")}


def test_an_output_that_is_named():
    ds = basins()
    assert choose_output(ds, {"qobs": "runoff"}, OURS) == {"qobs": (SOIL, "runoff")}
    assert choose_output(ds, {"qobs": None}, OURS) == {"qobs": (RAINY, "streamflow")}


def test_several_observations_need_one_model_for_all():
    ds = basins().assign(sm=basins()["qobs"].assign_attrs(units="1"))
    chosen = choose_output(ds, {"sm": "soil_moisture", "qobs": "streamflow"}, OURS)
    assert chosen == {"sm": (FULL, "soil_moisture"), "qobs": (FULL, "streamflow")}
    with pytest.raises(LayoutError, match="would be held against the same output"):
        choose_output(ds.assign(flow=ds["qobs"]), {"flow": None, "qobs": None}, [RAINY])
    with pytest.raises(LayoutError, match="no model has all the outputs soil_moisture, streamflow"):
        choose_output(ds, {"sm": "soil_moisture", "qobs": "streamflow"}, [SOIL, RAINY])


def test_an_unknown_observation():
    with pytest.raises(LayoutError, match=r"obs 'qob' is no data variable.*Did you mean 'qobs'"):
        choose_output(basins(), "qob", OURS)
    with pytest.raises(LayoutError, match="obs is None. Give the name"):
        choose_output(basins(), None, OURS)
    with pytest.raises(LayoutError, match="obs is {}. Give the name"):
        choose_output(basins(), {}, OURS)


def test_an_output_in_place_of_the_observation_names_the_variable():
    with pytest.raises(LayoutError, match='is an output of the model.*: obs="qobs"') as given:
        choose_output(basins(), "streamflow", OURS)
    assert choose_output(basins(), str(given.value).split('obs="')[1].split('"')[0], OURS)


def test_no_output_lists_the_models_and_their_outputs():
    message = r"no model output was found for ds\['tas'\].*Soil: soil_moisture \(m3 m-3\), runoff"
    with pytest.raises(LayoutError, match=message):
        choose_output(basins(), "tas", OURS)
    with pytest.raises(LayoutError, match="no model has the output 'streamflw'. Did you mean"):
        choose_output(basins(), {"qobs": "streamflw"}, OURS)


def test_units_decide_between_outputs_of_one_name():
    storage = Output("mm", names=("soil_moisture",))
    other = Declares(
        "Store", {"precipitation": RAIN}, {"streamflow": FLOW, "soil_moisture": storage}
    )
    ds = observed("soil_moisture", units="m3 m-3")
    assert choose_output(ds, "soil_moisture", [other, SOIL])["soil_moisture"][0] is SOIL
    ds["soil_moisture"].attrs["units"] = "mm"
    assert choose_output(ds, "soil_moisture", [other, SOIL])["soil_moisture"][0] is other


def test_the_layout_has_the_output():
    layout = recognise(basins(), FULL, obs="qobs")
    assert layout.observed["streamflow"].variable == "qobs"
    assert "streamflow: held against qobs." in layout.notes
    ds = observed("qobs", units="kg m-2 s-1")
    ds["qobs"] = (ds["qobs"] / 86400).assign_attrs(units="kg m-2 s-1")
    notes = recognise(ds, FULL, obs="qobs").notes
    assert "streamflow: held against qobs (kg m-2 s-1 converted to mm day-1)." in notes


def test_an_empty_dataset_has_none():
    with pytest.raises(LayoutError, match="obs 'x' is no data variable.*It has none"):
        choose_output(xr.Dataset(), "x", [RAINY])


def test_what_obs_can_not_be_is_named_shortly():
    ds = basins()
    with pytest.raises(LayoutError, match="obs is a DataArray. Give the name"):
        choose_output(ds, ds.qobs, [RAINY])
