"""Memory of the machine, of its control groups and jobs, and what of it is free."""

from __future__ import annotations

import numpy as np

from xdpl.runtime.memory import _control_groups, free_memory, machine_memory


def test_memory_that_may_be_used_is_known():
    assert 10**8 < machine_memory() < 10**14


def test_memory_is_that_of_the_smallest_control_group_above(tmp_path):
    step = tmp_path / "sys/fs/cgroup/system.slice/job_7/step_0"
    step.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/job_7/step_0\n")
    assert _control_groups(tmp_path) == []
    (step / "memory.max").write_text("max\n")
    (step.parent / "memory.max").write_text("4000\n")
    (step.parents[2] / "memory.max").write_text("9000\n")
    assert min(_control_groups(tmp_path)) == 4000
    (step / "memory.max").write_text("3000\n")
    assert min(_control_groups(tmp_path)) == 3000


def test_memory_is_that_of_the_control_group_of_an_older_kernel(tmp_path):
    job = tmp_path / "sys/fs/cgroup/memory/slurm/job_7"
    job.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:cpu:/other\n3:cpuset,memory:/slurm/job_7\n")
    (job / "memory.limit_in_bytes").write_text("5000\n")
    (tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")
    assert min(_control_groups(tmp_path)) == 5000


def test_memory_is_that_of_the_job_shared_by_its_processes(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "96")
    assert machine_memory() == 96 * 2**20
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert machine_memory() == 96 * 2**20  # nobody has started several processes
    monkeypatch.setenv("RANK", "3")
    assert machine_memory() == 12 * 2**20
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all that there is
    assert machine_memory() > 12 * 2**20


def test_memory_that_is_held_is_not_free(monkeypatch):
    before = free_memory()
    assert before < machine_memory()
    held = np.ones(40_000_000)  # 320 MB
    assert before - free_memory() > 0.8 * held.nbytes
    monkeypatch.setattr("xdpl.runtime.memory.machine_memory", lambda: 1000)
    assert free_memory() == 100
