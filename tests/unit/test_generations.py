"""The embedded store's directories."""

from pathlib import Path

from app.store.generations import sync_all


def test_a_file_that_is_removed_meanwhile_does_not_stop_the_others_being_synced(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").write_bytes(b"1")
    (tmp_path / "gone").symlink_to(tmp_path / "removed")
    sync_all(tmp_path)
    assert (tmp_path / "kept").read_bytes() == b"1"
