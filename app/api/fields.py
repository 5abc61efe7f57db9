"""The fields of small requests: a JSON object in the body, or the query; named, typed, bounded."""

from collections.abc import Collection

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from app.api.body import headers_of, read_body
from app.errors import RequestError
from app.jsontext import Json, number_of, parse_json
from app.parameters import wrong_type
from app.store.wanted import moment_s, since_of

MOMENT_CHARACTERS = 64


class NoReply(Response):
    """For a client that has left, or has been told already."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends nothing."""


async def body_of(request: Request, limit_bytes: int) -> Json:
    """The object in the request's body; an empty body is an empty object.

    Errors: RequestError and its kind; ClientLeft.
    """
    raw = await read_body(request.receive, headers_of(request.scope), limit_bytes)
    given = parse_json(raw) if raw else {}
    if not isinstance(given, dict):
        raise RequestError("the body must be a JSON object", code="invalid_type")
    return given


def query_of(request: Request) -> Json:
    """The query's parameters. Errors: RequestError for one that is given twice."""
    given: Json = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise RequestError(f"{name[:100]} is given twice", param=name[:100])
        given[name] = value
    return given


class Fields:
    """What was given, by name; null is as good as absent.

    In a query everything is text: numbers and booleans are read from it.
    """

    def __init__(self, given: Json, known: Collection[str], *, query: bool = False) -> None:
        """Errors: RequestError for a name that is not known."""
        self._given = given
        self._query = query
        for name in given:
            if name not in known:
                raise RequestError(
                    f"{name[:100]} is unknown; known: {', '.join(sorted(known))}",
                    code="unknown_parameter",
                    param=name[:100],
                )

    def has(self, name: str) -> bool:
        return self._given.get(name) is not None

    def text(self, name: str, *, most: int) -> str | None:
        """Between one and `most` characters."""
        value = self._given.get(name)
        if not isinstance(value, str | None):
            raise wrong_type(name, "a string")
        if value is not None and not value.strip():
            raise RequestError(f"{name} is empty; leave it out", param=name)
        if value is not None and len(value) > most:
            raise RequestError(
                f"{name} has {len(value)} characters; at most {most} are allowed", param=name
            )
        return value

    def boolean(self, name: str) -> bool | None:
        value = self._given.get(name)
        if self._query and value in {"true", "false"}:
            return bool(value == "true")
        if not isinstance(value, bool | None):
            raise wrong_type(name, "true or false")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """From `low` to `high`, both included."""
        if self._given.get(name) is None:
            return None
        number = self._number(name)
        if number is None:
            raise wrong_type(name, "a number")
        if not low <= number <= high:
            raise RequestError(f"{name} must be from {low:g} to {high:g}", param=name)
        return number

    def count(self, name: str, low: int, high: int) -> int | None:
        number = self.number(name, low, high)
        if number is not None and not number.is_integer():
            raise wrong_type(name, "an integer")
        return None if number is None else int(number)

    def choice(self, name: str, options: Collection[str]) -> str | None:
        value = self._given.get(name)
        if value is not None and value not in options:
            raise RequestError(f"{name} must be {' or '.join(map(repr, options))}", param=name)
        return value

    def moment_s(self, name: str) -> float | None:
        """Unix time; see `moment_s` for what is understood."""
        value = self._given.get(name)
        if value is None:
            return None
        if isinstance(value, bool | dict | list):
            raise wrong_type(name, "a number or a string")
        try:
            return moment_s(value if isinstance(value, str) else str(number_of(value)))
        except ValueError as exc:
            raise RequestError(f"{name} {exc}", param=name) from None

    def since_s(self, name: str, now_s: float) -> float | None:
        """Unix time; also of how long ago, such as `7d`."""
        text = self.text(name, most=MOMENT_CHARACTERS)
        try:
            return None if text is None else since_of(text, now_s)
        except ValueError as exc:
            raise RequestError(f"{name} {exc}", param=name) from None

    def _number(self, name: str) -> float | None:
        value = self._given.get(name)
        try:
            number = float(value) if self._query and value is not None else number_of(value)
            return None if number is None else float(number)
        except (ValueError, OverflowError):
            return None
