"""What a provider's HTTP status means to us."""

import re
import time
from email.utils import parsedate_to_datetime

import httpx
import orjson

from app.errors import (
    UpstreamAuthError,
    UpstreamAwayError,
    UpstreamError,
    UpstreamFailedError,
    UpstreamMissingError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
)
from app.jsontext import Json


def refusal(who: str, status: int, received: bytes, retry_after: str | None) -> UpstreamError:
    """The leaf of the error tree for this HTTP status; the body tells only of a client's mistake.

    500 is not `transient`: the work was begun, and the same request mostly fails again. Nor is 529
    (Anthropic's "overloaded"): whoever has too much to do is not asked for more.
    """
    wait_s = seconds(retry_after)
    match status:
        case 401 | 403:
            return UpstreamAuthError(f"{who}: refused the gateway's key (HTTP {status})")
        case 404:
            return UpstreamMissingError(f"{who}: knows no such model or path (HTTP 404)")
        case 429:
            return UpstreamRateLimitError(
                f"{who}: too many requests (HTTP 429)", retry_after_s=wait_s
            )
        case 502 | 503 | 504:
            return UpstreamAwayError(f"{who}: failed (HTTP {status})", retry_after_s=wait_s)
        case _ if status in _FAILURES or not httpx.codes.is_client_error(status):
            return UpstreamFailedError(f"{who}: failed (HTTP {status})", retry_after_s=wait_s)
        case _:
            error = _error_object(received)
            message = scrub(str(error.get("message") or "the request was rejected"))
            code, param = error.get("code"), error.get("param")
            return UpstreamRejectedError(
                f"{who}: {message} (HTTP {status})",
                code=code if isinstance(code, str) else None,
                param=param if isinstance(param, str) else None,
            )


_FAILURES = frozenset({408, 409})

_SECRETS = re.compile(
    r"https?://\S+|\b(?:sk|pk|org|proj|key)[-_][\w-]{4,}|\b[Bb]earer\s+\S+|\S*\*{3,}\S*"
)


def scrub(message: str) -> str:
    """A provider's message without URLs, keys and organisation ids, at most 500 characters."""
    return _SECRETS.sub("…", message)[:500]


def seconds(retry_after: str | None) -> float | None:
    """What `Retry-After` asks for: seconds, or a date; None where it is neither."""
    try:
        wait_s = float(retry_after or "")
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(retry_after or "").timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, wait_s)


def _error_object(received: bytes) -> Json:
    try:
        error = orjson.loads(received).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return {}
    return error if isinstance(error, dict) else {"message": error}
