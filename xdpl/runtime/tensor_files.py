"""Tensors with a JSON header in one safetensors file: sizes are bounded before anything is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

__all__ = ["check_finite", "check_same_shapes", "read_tensors", "under"]


def read_tensors(path: Path, key: str) -> tuple[object, dict[str, Tensor]]:
    """Read a file that another program may have written; nothing in it is executed.

    Parameters
    ----------
    path : Path
        The file. safetensors compares the lengths of the tensors with that of the file.
    key : str
        Where its metadata hold the header.

    Returns
    -------
    header : object
        Value of the JSON; None where the file has no such header.
    tensors : dict of str to Tensor

    Raises
    ------
    SafetensorError, OSError
        It is no file of this kind, or cut off.
    ValueError
        The header is no JSON, or a tensor without values claims a size beyond that of the file.
    """
    size = path.stat().st_size
    with safe_open(str(path), framework="pt", device="cpu") as file:
        text = (file.metadata() or {}).get(key)
        names = list(file.keys())
        for name in names:
            shape = file.get_slice(name).get_shape()
            if any(length > size for length in shape):
                raise ValueError(f"{name} claims the shape {tuple(shape)} in {size} bytes")
        header = None if text is None else json.loads(text)
        return header, {name: file.get_tensor(name) for name in names}


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError where weights are NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} has values that are not finite")


def check_same_shapes(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raise ValueError where tensors have other names, shapes or types than wanted."""
    shapes, there = (
        {name: (tuple(one.shape), one.dtype) for name, one in tensors.items()}
        for tensors in (wanted, found)
    )
    if shapes != there:
        names = sorted(name for name in shapes | there if shapes.get(name) != there.get(name))
        raise ValueError(f"its weights are of other shapes than it claims ({', '.join(names[:3])})")


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin with a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
