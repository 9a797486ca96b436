"""The how-to page of the training loop runs as it is printed, and learns."""

import re

import pytest
import torch

from xdpl.training import loop


@pytest.fixture(scope="module")
def page(repository):
    text = (repository / "docs/how-to/training-loop.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\{code-cell\} python\n(.*?)```", text, re.S)
    return text, blocks


def test_a_loop_of_ones_own_from_public_parts_learns(page, capsys):
    text, blocks = page
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 36
    names: dict[str, object] = {}
    state = torch.get_rng_state()
    for block in blocks:
        exec(compile(block, "training-loop.md", "exec"), names)
    torch.set_rng_state(state)
    losses = names["losses"]
    assert sum(losses[-3:]) < sum(losses[:3])
    printed = capsys.readouterr().out
    assert "epoch 1: loss" in printed
    assert names["state"].done % 4 == 0
    with open(loop.__file__) as file:
        assert f"{len(file.readlines())} lines to copy" in text
