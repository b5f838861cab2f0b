"""What memory a process may still take, by the limits that it is under."""

import os
from pathlib import Path

import pytest

from training.memory import available_bytes, cgroup_left, machine_left

MIB = 2**20


def group(folder: Path, limit: int | str, *, used: int = 0, cache: int = 0) -> None:
    """One of version 2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\n")


def member(root: Path, line: str) -> Path:
    path = root / "membership"
    path.write_text(line + "\n")
    return path


@pytest.mark.parametrize(("own", "left"), [("max", 100), (80 * MIB, 50), (500 * MIB, 100)])
def test_the_group_that_leaves_least_counts_be_it_above(tmp_path, own, left) -> None:
    """A job of Slurm's or systemd's, which has no namespace of its own."""
    group(tmp_path / "job", 120 * MIB, used=40 * MIB, cache=20 * MIB)
    group(tmp_path / "job" / "step", own, used=30 * MIB)
    assert cgroup_left(tmp_path, member(tmp_path, "0::/job/step")) == left * MIB


def test_version_1(tmp_path) -> None:
    folder = tmp_path / "memory" / "job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(str(100 * MIB))
    (folder / "memory.usage_in_bytes").write_text(str(60 * MIB))
    (folder / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {10 * MIB}\n")
    membership = member(tmp_path, "5:cpu,cpuacct:/other\n4:memory:/job")
    assert cgroup_left(tmp_path, membership) == 50 * MIB


def test_a_container_sees_its_own_group_as_the_root(tmp_path) -> None:
    group(tmp_path, 10 * MIB)
    assert cgroup_left(tmp_path, member(tmp_path, "0::/somewhere/else")) == 10 * MIB


def test_no_limit(tmp_path) -> None:
    assert cgroup_left(tmp_path, tmp_path / "absent") is None
    group(tmp_path, "max")
    assert cgroup_left(tmp_path, member(tmp_path, "0::/")) is None


def test_a_machine_that_does_not_say_what_is_free_counts_with_half_of_all_it_has(tmp_path) -> None:
    """macOS, which has no such file: all Macs counted as having 2 GiB."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    assert machine_left(tmp_path / "absent") == half
    (tmp_path / "meminfo").write_text("MemTotal: 64 kB\n")
    assert machine_left(tmp_path / "meminfo") == half
    (tmp_path / "meminfo").write_text("MemTotal: 64 kB\nMemAvailable: 3 kB\n")
    assert machine_left(tmp_path / "meminfo") == 3072


def test_this_machine_has_some() -> None:
    assert available_bytes() > 0
