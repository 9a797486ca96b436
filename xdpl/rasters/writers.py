"""Write maps in a format of one's own: a writer is one class with three methods.

What every writer needs is done here once: paths, ``~`` and URLs, drafts that are swapped in when
they are whole, blocks that fit into memory, and errors that say what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import xarray as xr

from ..errors import RasterError, XdplError
from ..runtime.files import PathLike, as_target, reason_of

__all__ = ["Region", "Writer", "blocks_of", "write"]

Region: TypeAlias = Mapping[str, slice]
"""A block of the maps: a slice for each dimension along which it is cut."""


class Writer(Protocol):
    """A format that maps can be written in.

    The three methods are called in this order, each once but `write_block`, which is called once
    for every region of the plan. All of them write to the same draft; nobody else sees it.
    """

    def plan(self, maps: xr.Dataset, draft: Path) -> Iterable[Region]:
        """Refuse what the format can't hold, begin the draft, and say in which blocks to write.

        Parameters
        ----------
        maps : Dataset
            What is to be written; nothing of it is computed yet.
        draft : Path
            A file that does not exist yet, with the name of the target; in a folder of its own, in
            which further files may be made. They take their places beside the target.

        Returns
        -------
        iterable of mapping of str to slice
            Such as those of `blocks_of`.

        Raises
        ------
        RasterError
            The format can't hold the maps; the message says what to do.
        """

    def write_block(self, region: Region, block: xr.Dataset) -> None:
        """Write one block, which is in memory.

        Parameters
        ----------
        region : mapping of str to slice
            Where it lies in the maps.
        block : Dataset
            Its values.
        """

    def commit(self) -> None:
        """Finish the draft: close it, and check what can be checked."""


def blocks_of(maps: xr.Dataset, dim: str | None = None) -> list[Region]:
    """Return regions along one dimension, which follow the dask chunks of the maps.

    Parameters
    ----------
    maps : Dataset
        numpy or dask.
    dim : str, optional
        Dimension to cut along; by default the first one that is cut into chunks.

    Returns
    -------
    list of dict of str to slice
        One region of everything where nothing is cut.
    """
    sizes = maps.chunksizes
    if dim is None:
        dim = next((str(name) for name, chunks in sizes.items() if len(chunks) > 1), None)
    if dim is None or dim not in sizes:
        return [{}]
    ends = np.cumsum([0, *sizes[dim]]).tolist()
    return [{dim: slice(a, b)} for a, b in zip(ends[:-1], ends[1:], strict=True)]


def write(
    maps: xr.Dataset | xr.DataArray, path: PathLike, writer: Writer, *, overwrite: bool = True
) -> Path | str:
    """Write maps with a writer: block by block, and whole or not at all.

    Parameters
    ----------
    maps : Dataset or DataArray
        numpy or dask; one block of the writer's plan is in memory at a time.
    path : path
        The file; ``~`` is your home folder. Or a URL of fsspec, such as
        ``"s3://bucket/maps.asc"``: the file is written here, then copied.
    writer : Writer
        The format.
    overwrite : bool
        Whether a file that exists is replaced.

    Returns
    -------
    Path or str
        The file, or its URL.

    Raises
    ------
    RasterError
        The file exists and must stay, the maps can't be computed, or it can't be written.

    Examples
    --------
    >>> xdpl.rasters.write(maps, "maps.asc", AsciiGrid())  # doctest: +SKIP
    """
    target = as_target(path)
    data = maps if isinstance(maps, xr.Dataset) else maps.to_dataset(name=maps.name or "map")
    if not overwrite and target.exists():
        raise RasterError(f"{target.text!r} exists. Use overwrite=True or another path.")
    try:
        with target.drafts() as folder:
            draft = folder / target.name
            for region in writer.plan(data, draft):
                writer.write_block(region, data.isel(dict(region)).compute())
            writer.commit()
            made = sorted(folder.iterdir())
            if draft not in made:
                raise RasterError(
                    f"{type(writer).__name__} made {', '.join(p.name for p in made) or 'nothing'}, "
                    f"not {draft.name}. Let its plan or commit write the path that plan is given."
                )
            for extra in made:
                if extra != draft:
                    target.parent.child(extra.name).put(extra)
            target.put(draft)  # last: where it is, all is there
    except XdplError:
        raise
    except Exception as problem:  # of dask, of the file system, or of the writer
        raise RasterError(
            f"can't write {target.text!r}: {type(problem).__name__}: {reason_of(problem)[:300]}. "
            "What was there before is as it was. Make room on the disk, give another path, or "
            f"check the maps and {type(writer).__name__}."
        ) from problem
    return target.result
