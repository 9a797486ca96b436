"""What all tests share: quiet threads, real data, the repository's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import xarray as xr

FILES = {"smap-conus": "smap_conus.nc", "mopex": "mopex.nc"}


def pytest_configure(config: pytest.Config) -> None:
    # Workers share the cores; a thread pool for each of them only makes them wait.
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Side by side, what takes minutes in one piece begins first: begun last, all wait for it.
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.path.name not in ("test_docs.py", "test_tutorials.py"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Folder of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with smap_conus.nc and mopex.nc: what XDPL_DATA names, else what was downloaded."""
    named = os.environ.get("XDPL_DATA")
    if not named:
        return _downloaded(tmp_path_factory.mktemp("data"))
    missing = [file for file in FILES.values() if not (Path(named) / file).is_file()]
    if missing:
        pytest.fail(
            f"XDPL_DATA names {named}, which holds no {' and no '.join(missing)}. "
            "Let it name the folder with the real data.",
            pytrace=False,
        )
    return Path(named)


def _downloaded(folder: Path) -> Path:
    from xdpl.errors import DataError
    from xdpl.tutorial import open_dataset

    for name, file in FILES.items():
        try:
            with open_dataset(name) as ds:
                shutil.copy(ds.encoding["source"], folder / file)
        except DataError as problem:
            pytest.fail(
                f"This test needs real data, XDPL_DATA is not set, and {problem}", pytrace=False
            )
    return folder


@pytest.fixture
def smap(data_folder: Path) -> Iterator[xr.Dataset]:
    """The SMAP grid, opened anew for every test."""
    with xr.open_dataset(data_folder / "smap_conus.nc") as ds:
        yield ds


@pytest.fixture
def mopex(data_folder: Path) -> Iterator[xr.Dataset]:
    """The MOPEX basins, opened anew for every test."""
    with xr.open_dataset(data_folder / "mopex.nc") as ds:
        yield ds
