"""The public face as an editor sees it: signatures, docstrings, examples; bundled ones by name."""

import doctest
import inspect

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.accessor import DplAccessor
from xdpl.errors import DeclarationError
from xdpl.fitting.run import FitKeywords
from xdpl.methods import FitMethod
from xdpl.public import public

FUNCTIONS = [
    xdpl.fit, xdpl.load, xdpl.cross_validate, xdpl.emulate, xdpl.plot.plot,
    xdpl.rasters.to_geotiff, xdpl.rasters.to_geopackage, xdpl.rasters.rasterize,
    xdpl.rasters.to_zarr, xdpl.Fit.parameters, xdpl.Fit.mixed_effects, xdpl.Fit.forcings,
    xdpl.Fit.simulate, xdpl.Fit.evaluate, xdpl.Fit.save,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
def test_every_keyword_is_seen_and_described(function):
    parameters = inspect.signature(function).parameters.values()
    assert not [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    text = inspect.getdoc(function)
    for section in ("Parameters", "Returns", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, section
    described = text[text.index("\nParameters\n") : text.index("\nReturns\n")]
    own = inspect.signature(inspect.unwrap(function)).parameters
    if function is xdpl.cross_validate:  # all others are those of fit, as its text says
        own = own.keys() - FitKeywords.__annotations__.keys()
    missing = [name for name in own if name != "self" and name not in described]
    assert not missing


# those that stand by themselves; the others go on from a fit, and test_emulation runs emulate
QUICK_ONES = [
    xdpl.fit, xdpl.cross_validate, xdpl.rasters.to_geotiff, xdpl.rasters.to_geopackage,
    xdpl.rasters.rasterize,
]  # fmt: skip


@pytest.mark.parametrize("function", QUICK_ONES, ids=lambda f: f.__qualname__)
def test_examples_do_what_they_show(function, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    (example,) = doctest.DocTestFinder(recurse=False).find(function, globs={})
    result = doctest.DocTestRunner(optionflags=flags).run(example)
    assert result.attempted > 1 and not result.failed


def test_keywords_handed_on_are_those_of_fit():
    parameters = inspect.signature(xdpl.fit).parameters
    own = {"ds", "obs", "seed", "checkpoint", "progress"}
    assert set(FitKeywords.__annotations__) == set(parameters) - own
    for name, type_ in FitKeywords.__annotations__.items():
        assert type_.__forward_arg__ == parameters[name].annotation


def _methods():
    functions = {"fit": xdpl.fit, "plot": xdpl.plot.plot}
    for name in ("to_geotiff", "to_zarr", "to_geopackage", "rasterize"):
        functions[name] = getattr(xdpl.rasters, name)
    for name in ("parameters", "mixed_effects", "parts", "forcings", "simulate", "evaluate"):
        functions[name] = getattr(xdpl.Fit, name)
    return functions


def test_the_accessor_has_the_signatures_and_texts_of_the_functions():
    methods = _methods()
    assert {name for name in dir(DplAccessor) if not name.startswith("_")} == set(methods)
    ds = xr.Dataset()
    for name, function in methods.items():
        method = getattr(ds.dpl, name)
        wanted = [p for n, p in inspect.signature(function).parameters.items() if n != "ds"]
        found = list(inspect.signature(method).parameters.values())
        if "self" in inspect.signature(function).parameters:
            assert (found[0].name, found[0].default) == ("fit", None)
            wanted = [found[0], *wanted[1:]]
        assert list(map(str, found)) == list(map(str, wanted))  # a default may be NaN
        assert method.__doc__.splitlines()[0] == inspect.getdoc(function).splitlines()[0]
        assert "\nds : " not in method.__doc__
        assert getattr(DplAccessor, name).__qualname__ == f"DplAccessor.{name}"


def test_the_accessor_refuses_misspelt_keywords_and_takes_old_ones():
    ds = xr.Dataset()
    with pytest.raises(TypeError, match=r"ds.dpl.fit has no keyword 'epocs'. Did you mean 'epoch"):
        ds.dpl.fit("q", epocs=3)
    with pytest.raises(DeclarationError, match=r"ds.dpl.simulate has no keyword 'perod'.*'period"):
        ds.dpl.simulate(perod=3)

    class Other:
        @public(old="new")
        def method(self, ds, *, new=1):
            """Do it."""
            return new

    class Own(DplAccessor):
        method = FitMethod(lambda: Other.method)

    accessor = Own(ds)
    accessor._fit = Other()
    Other.parameters = None
    with pytest.warns(FutureWarning, match=r"ds.dpl.method\(old=...\) is now ds.dpl.method\(new="):
        assert accessor.method(old=2) == 2


@pytest.mark.parametrize(
    ("names", "objects"),
    [
        ({"loss": "kge"}, {"loss": xdpl.losses.KGE()}),
        ({"loss": {"qobs": "MSE"}}, {"loss": xdpl.losses.MSE}),
        ({"network": "lstm"}, {"network": xdpl.networks.LSTM()}),
    ],
)
def test_names_of_bundled_ones_stand_for_them(names, objects):
    ds = grid(days=450)
    by_name = xdpl.fit(ds, "qobs", **{**QUICK, **names})
    given = xdpl.fit(ds, "qobs", **{**QUICK, **objects})
    assert by_name.parameters(ds).equals(given.parameters(ds))


def test_a_bundled_model_by_its_name(tmp_path):
    ds = xdpl.tutorial.synthetic(cells=9, years=2)
    quick = {"epochs": 1, "progress": False}
    fit = xdpl.fit(ds, "streamflow", model="gr4j", **quick)
    assert fit.model.name == "GR4J"
    assert np.isfinite(fit.parameters(ds)["production_store_capacity"]).all()


@pytest.mark.parametrize(
    "name", ["", *(n for n in xdpl.__all__ if inspect.ismodule(getattr(xdpl, n)))]
)
def test_completion_offers_what_is_public_alone(name):
    module = getattr(xdpl, name) if name else xdpl
    assert dir(module) == sorted(module.__all__)
    for one in module.__all__:
        assert getattr(module, one) is not None
    assert not {"BUNDLED", "torch", "annotations", "Any"} & set(dir(module))


def test_baselines_show_the_keywords_that_they_hand_on():
    for baseline in ("calibrate", "defaults", "lstm", "sce_ua", "regionalize", "uniform"):
        parameters = inspect.signature(getattr(xdpl.validation, baseline)).parameters
        assert {"obs", "model", "epochs", "seed", "progress"} <= set(parameters)
        assert not {"network", "who", "keywords"} & set(parameters)
