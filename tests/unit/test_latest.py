"""The mapping that keeps what was used last."""

from app.latest import Latest


def test_an_entry_is_made_once_and_what_was_not_used_goes_first() -> None:
    kept: Latest[str, list[int]] = Latest(2)
    kept.of("a", list).append(1)
    kept.of("b", list).append(2)
    assert kept.of("a", list) == [1]
    kept.of("c", list)
    assert list(kept) == ["a", "c"]
    assert kept.of("b", list) == []
