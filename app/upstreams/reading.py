"""A provider's reply, from the bytes of its body to normalised chunks."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import orjson

from app.answers import normalise_chunk, normalise_completion
from app.errors import UpstreamBrokenError, UpstreamFailedError
from app.jsontext import Json, is_bounded
from app.upstreams.sse import SseDecoder


class Whole:
    """One completion, read when all of it is here; `done` is never known before."""

    done = False

    def __init__(self, who: str) -> None:
        self._who = who
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> Sequence[Sequence[Json]]:
        """Nothing yet."""
        self._pieces.append(piece)
        return ()

    def end(self) -> Sequence[Sequence[Json]]:
        """The completion. Errors: UpstreamError."""
        body = parse_answer(b"".join(self._pieces), self._who)
        return ((normalise_completion(_without_error(body, self._who), self._who),),)


class Streamed:
    """Chunks as they come; `done` once the provider has said so.

    Errors: UpstreamError, also for a stream that ends without `finish_reason`.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._decoder = SseDecoder()
        self._finished = False
        self.done = False

    def feed(self, piece: bytes) -> Iterator[Sequence[Json]]:
        """The chunks of each event that is complete by now."""
        for data in self._decoder.feed(piece):
            if data == b"[DONE]":
                if not self._finished:
                    raise self._truncated()
                self.done = True
                return
            yield self._chunks(data)

    def end(self) -> Iterator[Sequence[Json]]:
        """What is left when the body ends."""
        for data in self._decoder.end():
            if data != b"[DONE]":
                yield self._chunks(data)
        if not self._finished:
            raise self._truncated()

    def _chunks(self, data: bytes) -> list[Json]:
        body = _without_error(parse_answer(data, self._who), self._who)
        chunks = normalise_chunk(body, self._who)
        if not self._finished:
            self._finished = any(c.get("finish_reason") for one in chunks for c in one["choices"])
        return chunks

    def _truncated(self) -> UpstreamBrokenError:
        return UpstreamBrokenError(f"{self._who}: the stream ended before the answer did")


Reading: TypeAlias = Whole | Streamed


def parse_answer(data: bytes, who: str) -> Json:
    """The object in these bytes. Errors: UpstreamBrokenError where there is none."""
    if not is_bounded(data):
        raise UpstreamBrokenError(f"{who}: its answer holds too many JSON values")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise UpstreamBrokenError(f"{who}: its answer is not JSON") from None
    if not isinstance(value, dict):
        raise UpstreamBrokenError(f"{who}: its answer is not a JSON object")
    return value


def _without_error(body: Json, who: str) -> Json:
    """Some providers report a failure with status 200, or in mid-stream."""
    if body.get("error"):
        raise UpstreamFailedError(f"{who}: reported an error instead of an answer")
    return body
