"""What the benchmark says of a process's memory: its own, and pages of files, told apart."""

import mmap
import os
from pathlib import Path

import pytest

from tests.bench.figures import AFTER_PINNED, Figures
from tests.bench.stands import memory_mib

SIZE = 32 * 2**20


def test_pages_of_a_mapped_file_are_not_taken_for_the_processs_own(tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    path.write_bytes(b"x" * SIZE)
    before = memory_mib(os.getpid())

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        for at in range(0, SIZE, mmap.PAGESIZE):
            mapped[at]
        with_file = memory_mib(os.getpid())
        own = bytearray(os.urandom(1) * SIZE)
        with_own = memory_mib(os.getpid())

    mib = SIZE / 2**20
    assert with_file["RssFile"] - before["RssFile"] == pytest.approx(mib, abs=4)
    assert with_file["RssAnon"] - before["RssAnon"] == pytest.approx(0, abs=4)
    assert with_own["RssAnon"] - with_file["RssAnon"] == pytest.approx(len(own) / 2**20, abs=4)
    assert with_own["RSS"] - before["RSS"] == pytest.approx(2 * mib, abs=8)


def test_each_kind_of_memory_has_its_own_ratio_and_rows_in_the_json() -> None:
    figures = Figures()
    for case, own in (("20,000", 100.0), ("100,000", 102.0)):
        mib = {"RSS": own**2, "RssAnon": own, "RssFile": own**2 - own}
        figures.note_memory(AFTER_PINNED, case, mib)

    ratios = {words: measured for words, measured, _ in figures.goals()}

    assert ratios["RssAnon after 100,000 / 20,000 pinned requests"] == pytest.approx(1.02)
    assert ratios["RSS after 100,000 / 20,000 pinned requests"] == pytest.approx(1.02**2)
    assert figures.to_json()["RssAnon after pinned requests, MiB"] == {
        "20,000": [100.0],
        "100,000": [102.0],
    }
