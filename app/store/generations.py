"""The embedded store's directories: one generation is in force, a re-indexed copy may follow it."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

_GENERATION = re.compile(r"generation-(\d{6,})")
_UNFINISHED = ".unfinished"


class Generations:
    """Numbered directories under one root; the file CURRENT names the one in force.

    A generation gets its name by a rename when it is whole, and is in force by another one of
    CURRENT: whenever the process dies, one whole generation is in force.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def current(self) -> Path | None:
        """The generation in force; the oldest where CURRENT is lost; None in a new store."""
        whole = self._whole()
        try:
            named = self._root / (self._root / "CURRENT").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            named = None
        if named in whole:
            return named
        return whole[0] if whole else None

    def begin(self) -> Path:
        """A directory's path to build the next generation in; nothing is there yet."""
        whole = self._whole()
        number = 1 + max((_number(path) for path in whole), default=0)
        path = self._root / f"generation-{number:06}{_UNFINISHED}"
        self._root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def finish(self, unfinished: Path) -> Path:
        """The generation built there, synced and under its own name, but not in force yet."""
        sync_all(unfinished)
        path = unfinished.with_suffix("")
        unfinished.rename(path)
        return path

    def put_in_force(self, generation: Path) -> None:
        temporary = self._root / "CURRENT.new"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(generation.name)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._root / "CURRENT")
        _sync(self._root)

    @property
    def has_erased(self) -> bool:
        """Whether files in force may hold bytes of what was erased."""
        return (self._root / "ERASED").exists()

    def note_erased(self, *, still: bool) -> None:
        marker = self._root / "ERASED"
        if still:
            marker.touch()
            _sync(self._root)
        else:
            marker.unlink(missing_ok=True)

    def remove_others(self) -> None:
        """Remove everything that is not in force: what upkeep left, or a crash."""
        current = self.current()
        for path in self._root.glob("generation-*"):
            if path != current:
                shutil.rmtree(path, ignore_errors=True)

    def _whole(self) -> list[Path]:
        found = (path for path in self._root.glob("generation-*") if path.is_dir())
        return sorted((path for path in found if _GENERATION.fullmatch(path.name)), key=_number)


def _number(generation: Path) -> int:
    return int(generation.name.removeprefix("generation-"))


def sync_all(directory: Path) -> None:
    """Bring all that was written there to the disk; other threads run meanwhile.

    Files that are removed meanwhile are passed over.
    """
    for path in (directory, *directory.rglob("*")):
        with suppress(FileNotFoundError):
            _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_bytes(directory: Path) -> int:
    """What a copy of this directory takes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
