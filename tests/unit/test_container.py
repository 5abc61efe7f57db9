"""A container's memory limit is found in both versions of control groups."""

from pathlib import Path

import pytest

from app.container import memory_limit_bytes

MIB = 2**20


def made(root: Path, told: str, **limits: str) -> Path:
    """A file system in which these groups are told of, and these files hold limits."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(told)
    for path, limit in limits.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    return root


def test_where_nothing_tells_of_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "expected"), [("268435456", 256 * MIB), ("max", None), ("0", 0), ("", None)]
)
def test_version_2_seen_from_within(tmp_path: Path, limit: str, expected: int | None) -> None:
    root = made(tmp_path, "0::/\n", **{"memory.max": limit})
    assert memory_limit_bytes(root) == expected


def test_a_group_around_may_allow_less(tmp_path: Path) -> None:
    limits = {"pods/memory.max": "1000", "pods/one/memory.max": "2000", "memory.max": "max"}
    assert memory_limit_bytes(made(tmp_path, "0::/pods/one\n", **limits)) == 1000


@pytest.mark.parametrize(
    ("limit", "expected"), [("268435456", 256 * MIB), ("9223372036854771712", None)]
)
def test_version_1(tmp_path: Path, limit: str, expected: int | None) -> None:
    told = "5:memory:/docker/f00\n4:cpu,cpuacct:/other\n1:name=systemd:/docker/f00\n0::/\n"
    # The host's path is told, but what is mounted in a container is its own group.
    limits = {"memory/memory.limit_in_bytes": limit, "cpu/memory.limit_in_bytes": "1"}
    assert memory_limit_bytes(made(tmp_path, told, **limits)) == expected


def test_a_name_that_is_no_text_is_one(tmp_path: Path) -> None:
    root = made(tmp_path, "", **{"memory.max": "7"})
    (root / "proc/self/cgroup").write_bytes(b"0::/\xff\n")
    assert memory_limit_bytes(root) == 7


def test_a_path_with_colons_is_read_whole(tmp_path: Path) -> None:
    root = made(tmp_path, "0::/a:b\n", **{"a:b/memory.max": "7"})
    assert memory_limit_bytes(root) == 7
