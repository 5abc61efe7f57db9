"""Reads recordings: what several models answered to the same questions, one question a line."""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.errors import SettingsError
from app.records import Usage

GZIP_START = b"\x1f\x8b"

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value


class RecordedVerdict(BaseModel):
    """What a judge said of one answer: `yes` accepts it, any other word refuses it."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    judge_model: str
    verdict: str | None
    cost_usd: Amount
    latency_s: Amount = 0.0

    @property
    def valid(self) -> bool | None:
        return None if self.verdict is None else self.verdict.strip().casefold() == "yes"


class RecordedAnswer(BaseModel):
    """One model's answer. `answer` is what it boils down to; `correct` is for the figures only.

    `repeats` are further answers to the same question. `margin`: by how much its least sure tokens
    were likelier than the next ones, from -1 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    correct: bool
    cost_usd: Amount
    answer: Annotated[str | None, BeforeValidator(_as_text)] = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    latency_s: Amount = 0.0
    abstained: bool = False
    repeats: tuple["RecordedAnswer", ...] = ()
    margin: Annotated[float, Field(ge=-1, le=1)] | None = None
    judge: RecordedVerdict | None = None

    @property
    def usage(self) -> Usage | None:
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return Usage(self.prompt_tokens, self.completion_tokens)


class Recording(BaseModel):
    """One question with every model's answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[str, Field(min_length=1), BeforeValidator(_as_text)]
    query: str
    context: str | None = None
    dataset: str | None = None
    subset: str | None = None
    answers: Annotated[dict[str, RecordedAnswer], Field(min_length=1)]

    def sample_of(self, model: str, sample: int) -> RecordedAnswer | None:
        """The model's answer, or a further one; None for what was not recorded."""
        answer = self.answers.get(model)
        if answer is None or sample == 0:
            return answer
        return answer.repeats[sample - 1] if sample <= len(answer.repeats) else None

    @property
    def topic(self) -> str:
        return self.subset or self.dataset or ""


def read_recordings(paths: Sequence[Path]) -> list[Recording]:
    """The questions of all files, in order.

    Errors: SettingsError, one line that names file and line, and what is wrong there.
    """
    found: dict[str, Recording] = {}
    for path in paths:
        before = len(found)
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                continue
            recording = _recording(line, f"{path}, line {number}")
            if recording.id in found:
                raise SettingsError(
                    f"{path}, line {number}: the id {recording.id!r} is there already; "
                    "every question needs its own"
                )
            found[recording.id] = recording
        if len(found) == before:
            raise SettingsError(f"{path}: no recordings; it must hold one JSON object a line")
    return list(found.values())


def with_all(recordings: Iterable[Recording], models: Sequence[str]) -> list[Recording]:
    """The questions that all of these models answered.

    Errors: SettingsError where there are none.
    """
    every = list(recordings)
    shared = [r for r in every if all(model in r.answers for model in models)]
    if not shared:
        known = sorted({model for recording in every for model in recording.answers})
        raise SettingsError(
            f"no question was answered by all of {', '.join(models)}; "
            f"the recordings have {', '.join(known)}"
        )
    return shared


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, compressed or not. Errors: SettingsError."""
    try:
        raw = path.read_bytes()
        if raw.startswith(GZIP_START):
            raw = gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise SettingsError(f"{path}: a damaged gzip file") from None
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror}") from None
    yield from raw.split(b"\n")


def _recording(line: bytes, where: str) -> Recording:
    try:
        return Recording.model_validate_json(line)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    match first["type"]:
        case "json_invalid":
            raise SettingsError(f"{where}: {first['msg'].replace('Invalid JSON', 'not JSON')}")
        case "missing":
            raise SettingsError(f"{where}: {place} is missing")
        case _:
            raise SettingsError(f"{where}: {place or 'the line'}: {first['msg']}")
