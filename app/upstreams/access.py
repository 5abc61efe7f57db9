"""How a provider is reached: its address, how its key is sent, and what else it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from app.settings.providers import Auth, Provider


@dataclass(frozen=True, slots=True)
class Access:
    """`auth` is the header that carries the key; `headers` and `query` go with every request."""

    base_url: str
    api_key: SecretStr | None = None
    auth: Auth = "bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def url(self, path: str) -> str:
        """Where this path of the API is, such as `chat/completions`."""
        found = f"{self.base_url.rstrip('/')}/{path}"
        return f"{found}?{urlencode(self.query, quote_via=quote)}" if self.query else found

    def request_headers(self) -> dict[str, str]:
        """What every request carries, the key included."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        headers |= {name.lower(): value for name, value in self.headers.items()}
        if self.api_key is not None:
            key = self.api_key.get_secret_value()
            if self.auth == "bearer":
                headers["authorization"] = f"Bearer {key}"
            else:
                headers[self.auth] = key
        return headers


def access_of(provider: Provider, api_key: SecretStr | None) -> Access:
    """The access that these settings describe."""
    return Access(
        base_url=provider.base_url,
        api_key=api_key,
        auth=provider.auth,
        headers=provider.headers,
        query=provider.query,
    )
