"""Requests that HTTP itself refuses, before any route has seen them."""

from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply in OpenAI's envelope, after which the connection closes.

    These are no GatewayErrors: most are answered where there is neither a request nor a route yet.
    """

    status: int
    code: str
    message: str
    kind: str = "invalid_request_error"

    def body(self) -> bytes:
        """The envelope as JSON."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return orjson.dumps({"error": error})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What goes with it; asking again would not help."""
        return [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body())),
            (b"x-should-retry", b"false"),
            (b"connection", b"close"),
        ]


MALFORMED = Refusal(400, "invalid_http", "this is not a well formed HTTP/1.1 request")
ONE_HOST = Refusal(400, "invalid_http", "a request must have exactly one Host header")
OTHER_HOST = Refusal(400, "invalid_http", "the request's target must be a path on its Host")
ONE_CODING = Refusal(400, "invalid_http", "transfer-encoding must be given once, as chunked")


def url_too_long(limit_bytes: int) -> Refusal:
    return Refusal(414, "url_too_long", f"the URL is longer than {limit_bytes} bytes")


def headers_too_large(limit_bytes: int, limit: int) -> Refusal:
    return Refusal(
        431,
        "headers_too_large",
        f"the headers are more than {limit}, or longer than {limit_bytes} bytes",
    )


def upload_too_slow(received_bytes: int) -> Refusal:
    return Refusal(
        408,
        "request_timeout",
        f"the body came too slowly: {received_bytes} bytes so far; send it faster",
    )


def host_not_allowed(host: str) -> Refusal:
    return Refusal(
        403,
        "host_not_allowed",
        f"the Host {host[:100]!r} is not served here; use localhost, 127.0.0.1 or [::1] in "
        "base_url, or list it under server.hosts",
        kind="permission_denied",
    )
