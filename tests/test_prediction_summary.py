"""The summary: what was recognised, chosen, noticed and reached, as text and as HTML."""

import warnings
from html.parser import HTMLParser

import pytest
from toy import QUICK, grid

import xdpl
from xdpl.errors import XdplWarning
from xdpl.prediction.summary import provenance


@pytest.fixture(scope="module")
def fit():
    ds = grid(days=450)
    ds["qobs"] = ds.qobs.where(ds.elevation > 500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XdplWarning)
        return xdpl.fit(ds, obs="qobs", **QUICK)


def test_text_tells_what_was_done(fit):
    text = repr(fit)
    for words in (
        "Bucket (2 parameters)",
        "learned from qobs",
        "MLP(hidden=(64, 64)",
        "2000-01-01 to 2001-03-25",
        "precipitation: prcp (mm day-1)",
        "elevation, forest",
        "have no observations",
        "3 of 3 epochs",
        "medians over cells: rmse",
        "nse 0.",
    ):
        assert words in text, words
    assert max(map(len, text.splitlines())) < 400


def test_html_is_well_formed_and_says_the_same(fit):
    opened = []

    class Check(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    html = fit._repr_html_()
    Check().feed(html)
    assert opened == []
    assert "Bucket (2 parameters)" in html
    assert "<xdpl" not in html


def test_provenance_is_flat_and_complete(fit):
    facts = provenance(fit)
    assert all(isinstance(v, (str, int, float)) for v in facts.values())
    assert facts["period"] == "2000-01-01/2001-03-25"
    assert facts["observation"] == "qobs"
    assert facts["training_median_nse"] == pytest.approx(fit.scores["streamflow"]["nse"], abs=1e-4)
    assert "torch" in facts["versions"]


def test_numbers_agree_with_their_nouns():
    ds = grid(1, 2, days=300)
    fit = xdpl.fit(ds, obs="qobs", **{**QUICK, "epochs": 1})
    assert "1 of 1 epoch of 1 batch of up to 16 cells" in repr(fit)
    assert "trained    2 cells, 2000-01-01 to 2000-10-26" in repr(fit)
