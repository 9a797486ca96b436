"""Checkpoints of the training of a surrogate: written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from ..runtime.files import write_safely
from ..training.checkpoint import packed, unpack

__all__ = ["resume", "write"]

KEPT = 2


def write(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]
) -> None:
    """Write the state after an epoch, and let go of all but the last two.

    Parameters
    ----------
    folder : Path
        Of this training alone.
    network, optimizer
        As they are after the epoch.
    losses : list of float
        Of each epoch done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= packed(optimizer)
    content = save(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
        metadata={"losses": json.dumps(losses)},
    )
    write_safely(folder / f"epoch-{len(losses):06d}.safetensors", content)
    for old in _files(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def resume(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    """Go back to the newest readable state; return the losses of the epochs that it holds."""
    for path in reversed(_files(folder)):
        try:
            with safe_open(str(path), framework="pt", device="cpu") as file:
                losses = json.loads((file.metadata() or {})["losses"])
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            losses = [float(loss) for loss in losses]
            weights = {
                k.removeprefix("network."): v
                for k, v in tensors.items()
                if k.startswith("network.")
            }
            _check_shapes(network, weights)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off by a crash, or none of ours: the one before it is whole
        network.load_state_dict(weights)
        unpack(optimizer, tensors)
        return losses
    return []


def _check_shapes(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    own = {name: value.shape for name, value in network.state_dict().items()}
    if own != {name: value.shape for name, value in weights.items()}:
        raise ValueError("weights of another network")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.safetensors"))
