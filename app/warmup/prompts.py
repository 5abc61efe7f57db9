"""The user's own prompts: read from a file, and those of them that are asked."""

import gzip
import hashlib
import heapq
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.embedder import question_text
from app.errors import InvalidJsonError, RequestError, SettingsError
from app.jsontext import Json, dump_json, parse_json
from app.parameters import PARAMETERS
from app.tiers import TierLadder
from app.wire import ChatRequest, parse_request

GZIP_START = b"\x1f\x8b"
MARK = b"\xef\xbb\xbf"
TEXT_ENDINGS = frozenset({".txt", ".text"})
JSON_ENDINGS = frozenset({".jsonl", ".ndjson", ".json"})

_WHOLE = frozenset({"messages", "prompt"})
_NOT_SENT = frozenset({"model", "stream", "stream_options", "autoshift"})
"""What the warm-up decides by itself."""
_KEPT = ("task", "learn", "explore")
"""Of what a request may ask of the gateway, what says something of the prompt."""

Route = Callable[[ChatRequest], TierLadder]
"""The tiers that can serve a request. Errors: RequestError where none can."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it is asked, and the tiers that can answer it.

    `key` is the same for the same prompt to the same models.
    """

    key: str
    request: ChatRequest
    ladder: TierLadder


@dataclass(slots=True)
class Prompts:
    """What a file holds. `chosen` are in order of their keys, which is by chance.

    `distinct` can be asked; of `left_out` nothing could be learned, by reason; `ignored` are
    fields that are no parameters of a chat request.
    """

    chosen: list[Prompt] = field(default_factory=list)
    lines: int = 0
    distinct: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    ignored: set[str] = field(default_factory=set)


def read_prompts(path: Path, route: Route, *, most: int) -> Prompts:
    """At most so many of the file's prompts, drawn by chance, though the same ones every time.

    Drawing more keeps those that were drawn before.
    Errors: SettingsError, with the line.
    """
    found, seen = Prompts(), set[bytes]()
    lowest: list[tuple[int, int, Prompt]] = []
    for number, given in _given(path):
        where = f"{path}: line {number}"
        body = _body(given, where, found.ignored)
        found.lines += 1
        digest = _digest(dump_json(body))
        if digest in seen:
            continue
        seen.add(digest)
        prompt = _prompt(body, where, route, found.left_out)
        if prompt is None:
            continue
        found.distinct += 1
        # The highest of the lowest keys stands first, to be put out by a lower one.
        place = (-int(digest.hex(), 16), number, prompt)
        (heapq.heappush if len(lowest) < most else heapq.heappushpop)(lowest, place)
    if not found.lines:
        raise SettingsError(f"{path}: no prompts; it must hold one a line, as text or JSON")
    found.chosen = [prompt for _, _, prompt in sorted(lowest, key=lambda place: -place[0])]
    return found


def _given(path: Path) -> Iterator[tuple[int, object]]:
    """The lines that are not blank, by number: a text, or a JSON value."""
    is_text: bool | None = None
    for number, raw in _lines(path):
        line = raw.strip()
        if not line:
            continue
        if is_text is None:
            is_text = _is_text(path, line)
        where = f"{path}: line {number}"
        try:
            yield number, line.decode() if is_text else parse_json(line)
        except UnicodeDecodeError:
            raise SettingsError(f"{where}: not UTF-8 text") from None
        except InvalidJsonError as exc:
            raise SettingsError(f"{where}: {exc.message.replace('the body', 'it')}") from None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            is_packed = file.read(len(GZIP_START)) == GZIP_START
            file.seek(0)
            plain: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file) if is_packed else file
            for number, line in enumerate(plain, start=1):
                yield number, line.removeprefix(MARK) if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise SettingsError(f"{path}: a damaged gzip file") from None
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror}") from None


def _is_text(path: Path, first: bytes) -> bool:
    """What the file's name says; else what its first line looks like."""
    endings = set(path.suffixes[-2:])
    if endings & TEXT_ENDINGS:
        return True
    return not endings & JSON_ENDINGS and not first.startswith(b"{")


def _body(given: object, where: str, ignored: set[str]) -> Json:
    """The chat request's body, without what the warm-up decides."""
    if isinstance(given, str):
        return _asking(given, {})
    if not isinstance(given, dict):
        raise SettingsError(f"{where}: not a JSON object")
    match given:
        case {"body": dict() as body}:
            # A request as it was sent, say in a batch: all of it belongs to it.
            return _told(body)
        case {"messages": _}:
            return _told(_known(given, ignored))
        case {"prompt": str() as text}:
            return _asking(text, _told(_known(given, ignored)))
        case {"prompt": _}:
            raise SettingsError(f"{where}: prompt must be a text")
        case _:
            raise SettingsError(
                f"{where}: has neither prompt nor messages; write "
                '{"prompt": "…"} or {"messages": […]}'
            )


def _asking(text: str, more: Json) -> Json:
    more.pop("prompt", None)
    return {"messages": [{"role": "user", "content": text}], **more}


def _known(given: Json, ignored: set[str]) -> Json:
    """Without what is no parameter: such files have ids, sources and the like beside the prompt."""
    known = _WHOLE | _NOT_SENT | PARAMETERS.keys()
    ignored |= given.keys() - known
    return {name: value for name, value in given.items() if name in known}


def _told(body: Json) -> Json:
    told = {name: value for name, value in body.items() if name not in _NOT_SENT}
    extension = body.get("autoshift")
    if isinstance(extension, dict):
        told["autoshift"] = {name: extension[name] for name in _KEPT if name in extension}
    return told


def _prompt(body: Json, where: str, route: Route, left_out: Counter[str]) -> Prompt | None:
    """The prompt; None where nothing could be learned from it, and why is counted."""
    request = _request(body, where)
    why = _teaches_nothing(request)
    if why is None:
        try:
            ladder = route(request)
        except RequestError:
            why = "no tier can serve it"
        else:
            if len(ladder) > 1:
                models = [[tier.name, tier.model] for tier in ladder]
                key = _digest(dump_json([body, models])).hex()
                return Prompt(key, _request(_named(body, key), where), ladder)
            why = "only one tier can serve it"
    left_out[why] += 1
    return None


def _request(body: Json, where: str) -> ChatRequest:
    try:
        return parse_request(dump_json({**body, "model": "auto"}), {})
    except RequestError as exc:
        raise SettingsError(f"{where}: {exc.message}") from None


def _named(body: Json, key: str) -> Json:
    """By the conversation's name its record is found again."""
    return {**body, "autoshift": {**body.get("autoshift", {}), "conversation": key}}


def _teaches_nothing(request: ChatRequest) -> str | None:
    """Why no lesson could be had from it; None where one can."""
    if request.tool_turn or "tools" in request.needs():
        return "tools are not called just to learn"
    if request.single:
        return "it cannot be judged (n over 1, logit_bias, audio or file ids)"
    if not (request.extension.learn and request.extension.explore):
        return "it says that nothing shall be learned from it"
    if not question_text(request).strip():
        return "it has no text"
    return None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
