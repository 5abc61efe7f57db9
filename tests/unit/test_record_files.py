"""The file that records are exported to, and what is refused of one."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.record_files import Header, encoded, line_of, read_header, read_lines
from tests.support.records import DIMENSION, direction, evidence, record


def lines_of(*more: bytes) -> Iterator[bytes]:
    return iter([Header("static-8").line(), *more])


def test_a_record_comes_back_with_its_evidence_and_its_vector_bit_by_bit() -> None:
    kept = record(task="sums")
    kept.evidence = {"0a": evidence()}
    lines = lines_of(line_of(kept, encoded(direction(30))), line_of(record(), None))
    assert read_header(lines) == Header("static-8")
    first, second = read_lines(lines)
    assert first.record == kept
    assert first.vector is not None
    assert first.vector.shape == (DIMENSION,)
    assert np.array_equal(first.vector, direction(30))
    assert (second.number, second.vector) == (3, None)


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"", "not a file that"),
        (b"\xff\n", "not a file that"),
        (b'{"format": "autoshift.records", "version": 2, "embedder": null}', "version 2"),
        (b'{"format": "autoshift.records", "version": 1}', "version 1"),
        (b'{"format": "other", "version": 1, "embedder": "x"}', "not a file that"),
    ],
)
def test_another_file_is_refused_by_its_first_line(first: bytes, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        read_header(iter([first]))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"record": {}, "vector": null}',
        b'{"record": null, "vector": null}',
        line_of(record(), "no base64!"),
        line_of(record(), "AAAA"),
    ],
)
def test_a_line_that_is_no_record_is_named(line: bytes) -> None:
    with pytest.raises(SettingsError, match="line 4: "):
        list(read_lines([line_of(record(), None), b"\n", line]))


@given(st.binary())
def test_no_line_breaks_the_reader(line: bytes) -> None:
    with pytest.raises(SettingsError):
        list(read_lines([line + b"}"]))
