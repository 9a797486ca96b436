"""Trust layers as CF ancillary variables: named, flagged, checked."""

import numpy as np
import pytest
import xarray as xr
from test_rasters_cf import check

from xdpl.errors import RasterError
from xdpl.rasters import dress
from xdpl.rasters.quality import Quality, standard_error_of
from xdpl.variables import Parameter

POROSITY = Parameter("1", bounds=(0.2, 0.7), long_name="porosity", standard_name="soil_porosity")
MELT = Parameter("mm K-1 day-1", bounds=(1, 8))
DECLARED = {
    "porosity": POROSITY,
    "melt_factor": MELT,
    "porosity_standard_error": standard_error_of("porosity", POROSITY, "spread"),
    "melt_factor_standard_error": standard_error_of("melt_factor", MELT, "spread"),
    "extrapolation": Quality(
        "", standard_name="quality_flag", long_name="extrapolated", meanings=("no", "a_little")
    ),
}


@pytest.fixture
def maps():
    import rioxarray  # noqa: F401

    rng = np.random.default_rng(0)
    place = {"y": 2.8e6 - 1e4 * np.arange(4), "x": 4.1e6 + 1e4 * np.arange(5)}
    source = xr.Dataset(coords=place).rio.write_crs(3035)
    values = {name: (("y", "x"), rng.random((4, 5)).astype("f4")) for name in DECLARED}
    values["extrapolation"] = (("y", "x"), rng.integers(0, 2, (4, 5)).astype("i1"))
    return dress(xr.Dataset(values, place), source, DECLARED, {"model": "HBV"})


def test_each_variable_names_the_layers_about_it_and_about_all(maps):
    assert maps.porosity.attrs["ancillary_variables"] == "porosity_standard_error extrapolation"
    assert (
        maps.melt_factor.attrs["ancillary_variables"] == "melt_factor_standard_error extrapolation"
    )
    for name in ("porosity_standard_error", "extrapolation"):
        assert "ancillary_variables" not in maps[name].attrs
        assert maps[name].attrs["coverage_content_type"] == "qualityInformation"


def test_only_layers_that_are_there_are_named(maps):
    some = dress(maps[["porosity", "extrapolation"]], maps, DECLARED)
    assert some.porosity.attrs["ancillary_variables"] == "extrapolation"


def test_standard_names_are_modified_where_there_are_any(maps):
    assert maps.porosity_standard_error.attrs["standard_name"] == "soil_porosity standard_error"
    assert "standard_name" not in maps.melt_factor_standard_error.attrs
    assert maps.melt_factor_standard_error.attrs["units"] == "mm K-1 day-1"


def test_flags_have_values_of_their_own_type_and_meanings(maps):
    attrs = maps.extrapolation.attrs
    assert attrs["flag_meanings"] == "no a_little"
    assert list(attrs["flag_values"]) == [0, 1]
    assert attrs["flag_values"].dtype == maps.extrapolation.dtype == np.int8
    assert "units" not in attrs
    assert attrs["_FillValue"] == -1 and attrs["_FillValue"].dtype == np.int8


def test_the_compliance_checker_agrees(maps, tmp_path, monkeypatch):
    maps.to_netcdf(tmp_path / "maps.nc")
    assert check(tmp_path / "maps.nc", monkeypatch) == []
    with xr.open_dataset(tmp_path / "maps.nc") as again:
        assert again.extrapolation.encoding["dtype"] == np.int8
        assert again.extrapolation.encoding["_FillValue"] == -1
        assert "porosity_standard_error" in str(again.porosity.attrs | again.porosity.encoding)


def test_a_meaning_is_one_word():
    with pytest.raises(RasterError, match="'far away' can't be the meaning of a flag. Give one"):
        Quality("", meanings=("near", "far away"))
