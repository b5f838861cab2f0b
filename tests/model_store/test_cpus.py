from pathlib import Path

import pytest

from model_store.cpus import available_cpus, cgroup_quota


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def member(root: Path, line: str) -> Path:
    path = root / "membership"
    path.write_text(line + "\n")
    return path


def test_version_2_takes_the_tightest_limit_on_the_way_up(tmp_path: Path) -> None:
    write(tmp_path, a__b__cpu_max="max 100000", a__cpu_max="150000 100000")
    assert cgroup_quota(tmp_path, member(tmp_path, "0::/a/b")) == 1.5


def test_version_1(tmp_path: Path) -> None:
    write(tmp_path, cpu__job__cpu_cfs_quota_us="300000", cpu__job__cpu_cfs_period_us="100000")
    write(tmp_path, cpu__cpu_cfs_quota_us="-1", cpu__cpu_cfs_period_us="100000")
    assert cgroup_quota(tmp_path, member(tmp_path, "4:cpu,cpuacct:/job")) == 3


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    write(tmp_path, cpu_max="50000 100000")
    assert cgroup_quota(tmp_path, member(tmp_path, "0::/somewhere/else")) == 0.5


@pytest.mark.parametrize("text", ["max 100000", "", "nonsense", "-5 100000"])
def test_no_limit(tmp_path: Path, text: str) -> None:
    write(tmp_path, cpu_max=text)
    assert cgroup_quota(tmp_path, member(tmp_path, "0::/")) is None
    assert cgroup_quota(tmp_path, tmp_path / "absent") is None


def test_this_machine_has_at_least_one() -> None:
    assert available_cpus() >= 1
