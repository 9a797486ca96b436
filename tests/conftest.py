"""What all tests share: quiet threads, real data, the repository's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import xarray as xr


def pytest_configure(config: pytest.Config) -> None:
    # Workers share the cores; a thread pool for each of them only makes them wait.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Folder of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder with smap_conus.nc and mopex.nc, named by the environment variable XDPL_DATA."""
    named = os.environ.get("XDPL_DATA")
    if not named:
        pytest.fail(
            "The environment variable XDPL_DATA is not set. This test needs real data: let "
            "XDPL_DATA name the folder that holds smap_conus.nc and mopex.nc.",
            pytrace=False,
        )
    folder = Path(named)
    missing = [n for n in ("smap_conus.nc", "mopex.nc") if not (folder / n).is_file()]
    if missing:
        pytest.fail(
            f"XDPL_DATA names {folder}, which holds no {' and no '.join(missing)}. "
            "Let it name the folder with the real data.",
            pytrace=False,
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
