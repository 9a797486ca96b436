"""The loop: it learns, follows its schedule, and stops before harm is done."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from toy import Bucket

from xdpl.batches import Batch
from xdpl.errors import DataError, NonFiniteLoss, XdplWarning
from xdpl.losses import MSE
from xdpl.networks import MLP
from xdpl.parameters.learner import Learner
from xdpl.training.clipping import tame
from xdpl.training.loop import History, Objective, Trainer, _losses, train


def a_batch(cells=8, steps=60, warmup=20):
    draw = torch.Generator().manual_seed(0)
    forcing = {
        "precipitation": 8 * torch.rand(warmup + steps, cells, generator=draw),
        "potential_evaporation": 3 * torch.rand(warmup + steps, cells, generator=draw),
    }
    attribute = torch.rand(cells, 1, generator=draw, dtype=torch.float64)
    parameter = {
        "recession": 0.05 + 0.4 * attribute.float(),
        "evaporation_factor": torch.full((cells, 1), 0.8),
    }
    flow, _ = Bucket().simulate(forcing, parameter)
    return Batch(
        forcing=forcing,
        observed={"streamflow": flow["streamflow"][warmup:]},
        scale={"streamflow": torch.ones(cells)},
        attribute=attribute,
        cycle=None,
        label=np.array([f"cell {i}" for i in range(cells)]),
        index=torch.arange(cells),
        count=torch.full((cells,), steps),
        start=warmup,
    )


def a_trainer(batch, steps=100, deviating=0):
    torch.manual_seed(0)
    learner = Learner(MLP(hidden=(8,)), Bucket(), [0], cells=deviating)
    learner.learn_statistics(batch.attribute, None)
    return Trainer(learner, 0.03, steps, 0.0, shrinkage=20.0)


OBJECTIVE = Objective({"streamflow": MSE()})


def test_it_learns():
    batch, history, called = a_batch(), History(), []
    trainer = a_trainer(batch)
    train(
        trainer,
        OBJECTIVE,
        lambda epoch, skip: iter([batch] * 10),
        epochs=10,
        dt=1.0,
        history=history,
        after_epoch=[called.append],
    )
    assert history.loss[-1] < 0.05 * history.loss[0]
    assert called == list(range(1, 11))
    assert trainer.done == 100
    assert not trainer.learner.training


def test_it_goes_on_from_a_history():
    batch = a_batch()
    history = History([1.0, 1.0, 1.0])
    seen = []
    train(
        a_trainer(batch),
        OBJECTIVE,
        lambda epoch, skip: seen.append(epoch) or iter([batch]),
        epochs=5,
        dt=1.0,
        history=history,
    )
    assert seen == [3, 4]


def test_the_rate_rises_and_falls():
    trainer = a_trainer(a_batch())
    rates = []
    for trainer.done in range(100):
        rates.append(trainer.rate())
    assert np.argmax(rates) in (9, 10)
    assert max(rates) == pytest.approx(0.03)
    assert rates[0] == pytest.approx(0.003)
    assert rates[-1] < 0.001
    trainer.done = 500  # steps added later don't bring the rate back
    assert trainer.rate() == pytest.approx(0.0003)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_broken_cell_is_named_and_the_weights_stay(what):
    batch = a_batch()
    trainer = a_trainer(batch)
    before = {k: v.clone() for k, v in trainer.learner.state_dict().items()}
    if what == "loss":
        batch.forcing["precipitation"][30, 5] = torch.nan
    else:

        class Steep(MSE):
            def per_cell(self, simulated, observed):
                total, weight = super().per_cell(simulated, observed)
                # 0 with an infinite gradient, in one cell more than a tenth allows
                bad = torch.sqrt((total[5:6] - total[5:6].detach()).abs())
                return torch.cat([total[:5], total[5:6] + bad, total[6:]]), weight

    objective = OBJECTIVE if what == "loss" else Objective({"streamflow": Steep()})
    with pytest.raises(NonFiniteLoss, match=f"{what} of batch 1 .* 1 of its 8 cells: cell 5"):
        trainer.step(batch, objective, 1.0)
    for name, value in trainer.learner.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("ahead", [0, 2, 16])
def test_steps_under_way_end_as_those_taken_one_by_one(ahead):
    batch = a_batch()
    one, other = a_trainer(batch, deviating=8), a_trainer(batch, deviating=8)
    torch.manual_seed(1)
    expected = [one.step(batch, OBJECTIVE, 1.0) for _ in range(5)]
    torch.manual_seed(1)
    work = partial(other.advance, objective=OBJECTIVE, dt=1.0)
    assert list(_losses(other, work, iter([batch] * 5), ahead)) == expected
    for p, q in zip(one.learner.parameters(), other.learner.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("ahead", [0, 2, 16])
def test_nothing_is_learned_after_a_broken_batch(ahead):
    fine, broken = a_batch(), a_batch()
    broken.forcing["precipitation"][30, 5] = torch.nan
    trainer, expected = a_trainer(fine), a_trainer(fine)
    torch.manual_seed(1)
    for _ in range(3):
        expected.step(fine, OBJECTIVE, 1.0)
    torch.manual_seed(1)
    work = partial(trainer.advance, objective=OBJECTIVE, dt=1.0)
    batches = [fine, fine, fine, broken, fine, fine]
    with pytest.raises(NonFiniteLoss, match=r"loss of batch 4 .* 1 of its 8 cells: cell 5"):
        list(_losses(trainer, work, iter(batches), ahead))
    for p, q in zip(expected.learner.parameters(), trainer.learner.parameters(), strict=True):
        assert torch.equal(p, q)
    assert trainer.done == 3
    # whoever goes on all the same learns again
    trainer.step(fine, OBJECTIVE, 1.0)
    assert trainer.done == 4
    assert not torch.equal(q, p)


def test_weights_of_several_losses():
    batch = a_batch()
    simulated = {"streamflow": batch.observed["streamflow"] + 2}
    assert OBJECTIVE(simulated, batch).item() == pytest.approx(4.0)
    heavier = Objective({"streamflow": MSE()}, {"streamflow": 3.0})
    assert heavier(simulated, batch).item() == pytest.approx(12.0)


def test_the_spin_up_carries_no_loss():
    batch = a_batch()
    simulated = torch.cat([torch.full((20, 8), 1e6), batch.observed["streamflow"]])
    assert OBJECTIVE({"streamflow": simulated}, batch).item() == 0


def test_one_cell_does_not_decide_the_step():
    gradient = torch.ones(9, 4)
    gradient[3] = 1e30
    tamed = tame(gradient)
    assert torch.equal(tamed[:3], gradient[:3])
    assert tamed[3].norm().item() == pytest.approx(20.0)  # each of the four at 10
    gradient[5, 1] = torch.nan
    assert (tame(gradient)[5] == 0).all()
    assert torch.isfinite(tame(torch.full((2, 3), torch.nan))).all()
    # where most cells have no gradient there is nothing to compare with
    lonely = torch.zeros(9, 4)
    lonely[2] = 3.0
    assert torch.equal(tame(lonely), lonely)


@pytest.mark.parametrize("deviating", [0, 11])
def test_a_cell_without_a_finite_gradient_is_counted(deviating):
    batch = a_batch(cells=11)

    class Steep(MSE):
        def per_cell(self, simulated, observed):
            total, weight = super().per_cell(simulated, observed)
            bad = torch.sqrt((total[5:6] - total[5:6].detach()).abs())
            return torch.cat([total[:5], total[5:6] + bad, total[6:]]), weight

    trainer = a_trainer(batch, deviating=deviating)
    before = [p.clone() for p in trainer.learner.parameters()]
    for _ in range(5):
        trainer.step(batch, Objective({"streamflow": Steep()}), 1.0)
    assert trainer.without_gradient == {"cell 5": 5}
    assert all(torch.isfinite(p).all() for p in trainer.learner.parameters())
    assert any(
        not torch.equal(p, q) for p, q in zip(before, trainer.learner.parameters(), strict=True)
    )


def test_no_cells_have_no_gradient_to_hold():
    for shape in ((0, 3), (5, 0, 3)):
        assert Trainer.tame(torch.zeros(shape)).shape == shape


def an_empty(batch):
    """The batch, had its forcings gaps in all cells."""
    cells = {"attribute": batch.attribute[:0], "label": batch.label[:0], "index": batch.index[:0]}
    series = {"forcing": {k: v[:, :0] for k, v in batch.forcing.items()}}
    return replace(batch, **cells, **series)


def test_batches_without_cells_are_left_out_and_counted():
    batch = a_batch()
    histories = []
    for batches in ([batch, batch], [batch, an_empty(batch), batch]):
        torch.manual_seed(0)
        trainer, history = a_trainer(batch), History()
        said = pytest.warns(XdplWarning, match="1 of 3 batches of the first epoch were left out")
        with said if len(batches) == 3 else nullcontext():
            train(
                trainer, OBJECTIVE, lambda *_, b=batches: iter(b), epochs=2, dt=1.0,
                history=history,
            )  # fmt: skip
        histories.append(history.loss)
        assert trainer.done == 4
    assert histories[0] == histories[1]
    with pytest.raises(DataError, match="no batch of epoch 1 has a cell with complete forcings"):
        train(
            a_trainer(batch), OBJECTIVE, lambda *_: iter([an_empty(batch)]), epochs=1, dt=1.0,
            history=History(),
        )  # fmt: skip
