"""The public face as an editor sees it: signatures, docstrings, examples; bundled ones by name."""

import doctest
import inspect

import numpy as np
import pytest
from toy import QUICK, grid

import xdpl
from xdpl.fitting.run import FitKeywords

FUNCTIONS = [xdpl.fit]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
def test_every_keyword_is_seen_and_described(function):
    parameters = inspect.signature(function).parameters.values()
    assert not [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    text = inspect.getdoc(function)
    for section in ("Parameters", "Returns", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, section
    described = text[text.index("\nParameters\n") : text.index("\nReturns\n")]
    missing = [p.name for p in parameters if p.name != "self" and p.name not in described]
    assert not missing


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
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
