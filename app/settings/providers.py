"""The settings about providers: where each is, and what it wants to see."""

from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from app.addresses import Addresses, is_literal, is_refused
from app.section import Section

Auth: TypeAlias = Literal["bearer", "api-key", "x-api-key"]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]


_NOT_EXTRA = frozenset(
    {
        "accept",
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    }
)


class Provider(Section):
    """An OpenAI-compatible service. `api_key_env` names the variable that holds the key.

    `auth` is the header that carries it (Azure: `api-key`); `headers` and `query` go along with
    every request (Azure's older addresses: `api-version`). `addresses`: where it may be; a cloud's
    metadata service is no provider.
    """

    base_url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")]
    api_key_env: str | None = None
    auth: Auth = "bearer"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    addresses: Addresses = "private"

    @property
    def host(self) -> str:
        """Its name or address, in lower case."""
        return urlsplit(self.base_url).hostname or ""

    @model_validator(mode="after")
    def _may_be_there(self) -> "Provider":
        if is_literal(self.host) and is_refused(self.host, self.addresses):
            raise ValueError(
                f"base_url: a provider must not be at {self.host} while addresses is "
                f"{self.addresses!r}; 'private' takes in private networks, 'any' is everything"
            )
        return self

    @model_validator(mode="after")
    def _said_once(self) -> "Provider":
        if "?" in self.base_url or "#" in self.base_url:
            raise ValueError("base_url ends before '?' or '#'; what follows '?' belongs in query")
        taken = sorted(name for name in self.headers if name.lower() in _NOT_EXTRA)
        if taken:
            raise ValueError(
                f"headers: {taken[0]!r} is not for here: keys come from api_key_env and go out as "
                "auth says, the rest is the gateway's own"
            )
        return self
