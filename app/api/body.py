"""Reading a request body: its media type, its length, its bytes."""

from starlette.types import Receive, Scope

from app.errors import BodyTooLargeError, MediaTypeError


class ClientLeft(Exception):  # noqa: N818 - not an error: nobody is there to be told
    """The client closed the connection."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive, headers: dict[str, str], limit_bytes: int) -> bytes:
    """The body, at most `limit_bytes`.

    Errors: MediaTypeError, BodyTooLargeError; ClientLeft when there is nobody to answer.
    """
    _check_media_type(headers)
    if int(headers.get("content-length") or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    pieces: list[bytes] = []
    received_bytes = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        received_bytes += len(piece)
        if received_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)


def _check_media_type(headers: dict[str, str]) -> None:
    given = headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if given != "application/json":
        raise MediaTypeError(f"content-type is {given[:80]!r}; it must be application/json")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise MediaTypeError(f"content-encoding is {encoding[:80]!r}; send the body uncompressed")


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {limit_bytes // (1024 * 1024)} MiB")
