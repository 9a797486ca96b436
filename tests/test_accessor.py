"""The accessor: a convenience that forgets rather than misleads."""

import pickle

import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.errors import LayoutError, NotFitted


@pytest.fixture
def ds():
    return grid(days=450)


def test_it_remembers_the_last_fit(ds):
    fit = ds.dpl.fit(obs="qobs", **QUICK)
    assert ds.dpl.parameters().equals(fit.parameters(ds))
    assert ds.dpl.evaluate().equals(fit.evaluate(ds))
    assert ds.dpl.simulate(outputs=["water"]).equals(fit.simulate(ds, outputs=["water"]))


def test_new_objects_take_a_fit(ds):
    fit = ds.dpl.fit(obs="qobs", **QUICK)
    other = ds.isel(x=slice(0, 3))
    with pytest.raises(NotFitted, match=r"not carried to new objects.*ds\.dpl\.parameters\(fit\)"):
        other.dpl.parameters()
    with pytest.raises(NotFitted, match=r"give the fit: ds\.dpl\.evaluate\(fit\)"):
        other.dpl.evaluate()
    assert other.dpl.parameters(fit).sizes["x"] == 3
    assert other.dpl.simulate(fit).sizes["x"] == 3
    assert other.dpl.evaluate(fit, period=slice("2001-01-01", None)).sizes["x"] == 3


def test_what_is_not_a_fit_is_refused(ds):
    with pytest.raises(NotFitted, match="fit is a str"):
        ds.dpl.parameters("fit.xdpl")
    with pytest.raises(NotFitted, match="fit is a slice.*all else by keyword: period="):
        ds.dpl.evaluate(slice("2000", "2001"))


def test_pickling_a_dataset_leaves_the_network_behind(ds):
    before = len(pickle.dumps(ds))
    ds.dpl.fit(obs="qobs", **QUICK)
    content = pickle.dumps(ds)
    assert len(content) < before + 2000
    back = pickle.loads(content)
    assert back.equals(ds)
    with pytest.raises(NotFitted):
        back.dpl.parameters()


def test_maps_can_be_written_and_drawn(ds, tmp_path):
    ds.dpl.fit(obs="qobs", **QUICK)
    maps = ds.dpl.parameters()
    assert all(path.is_file() for path in maps.dpl.to_geotiff(tmp_path))
    figure = maps.dpl.plot()
    figure.savefig(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").stat().st_size > 10_000


def test_xdpl_fit_is_the_same_function(ds):
    assert (
        xdpl.fit(ds, "qobs", **QUICK)
        .parameters(ds)
        .equals(ds.dpl.fit("qobs", **QUICK).parameters(ds))
    )


def test_a_node_of_a_tree_is_its_dataset_with_inherited_coordinates(ds):
    own = ds.drop_vars("x")
    tree = xr.DataTree.from_dict({"/": ds[["x"]], "/basins": own})
    fit = tree["/basins"].dpl.fit(obs="qobs", **QUICK)
    assert fit.parameters(ds).equals(xdpl.fit(ds, "qobs", **QUICK).parameters(ds))
    node = tree["/basins"]
    node.dpl.fit(obs="qobs", **QUICK)
    assert node.dpl.parameters().equals(fit.parameters(ds))
    assert "fit" in dir(node.dpl) and "_tree" in dir(node.dpl)
    assert repr(node.dpl).startswith("<ds.dpl>")


def test_a_node_without_data_says_which_node_to_take(ds):
    tree = xr.DataTree.from_dict({"/basins": ds})
    with pytest.raises(LayoutError, match=r"node '/' has no data variables.*tree\[\"/basins\"\]"):
        tree.dpl.fit(obs="qobs", **QUICK)
    assert 'tree["/basins"].dpl.fit(...)' in repr(tree.dpl)
    with pytest.raises(AttributeError):
        tree["/basins"].dpl.nonsense
