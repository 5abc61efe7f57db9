"""How a provider is reached: the key's header, extra headers, and the query."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import SettingsError
from app.settings.configuration import build_settings
from tests.support.gateway import configuration, gateway
from tests.support.provider import Provider, provider

pytestmark = pytest.mark.anyio

KEY = "sk-of-ours"


def reached(behind: Provider, **more: Any) -> dict[str, Any]:
    return {"scripted": {"base_url": behind.url, "api_key_env": "OUR_KEY", **more}}


async def test_the_key_goes_in_the_header_the_provider_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEY", KEY)
    async with provider() as behind:
        for number, (auth, header, value) in enumerate(
            [
                ("bearer", "authorization", f"Bearer {KEY}"),
                ("api-key", "api-key", KEY),
                ("x-api-key", "x-api-key", KEY),
            ]
        ):
            there = reached(behind, auth=auth)
            async with gateway(tmp_path / str(number), behind, providers=there) as door:
                await door.ask()
            carriers = {"authorization", "api-key", "x-api-key"} & set(behind.calls[-1].headers)
            assert carriers == {header}
            assert behind.calls[-1].headers[header] == value


async def test_every_request_carries_the_providers_headers_and_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEY", KEY)
    async with provider() as behind:
        there = reached(
            behind, headers={"X-Title": "our team"}, query={"api-version": "2024-10-21", "a": "b c"}
        )
        async with gateway(tmp_path, behind, providers=there) as door:
            await door.ask()

    assert len(behind.calls) > 1, "an answer and its verdict"
    for call in behind.calls:
        assert call.query == "api-version=2024-10-21&a=b%20c"
        assert call.headers["x-title"] == "our team"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"headers": {"Authorization": "Bearer x"}}, "'Authorization' is not for here"),
        ({"headers": {"api-key": "x"}}, "keys come from api_key_env"),
        ({"headers": {"bad name": "x"}}, "headers"),
        ({"headers": {"x-two": "a\r\nb: c"}}, "headers"),
        ({"base_url": "https://host/v1?api-version=1"}, "belongs in query"),
        ({"auth": "basic"}, "'bearer', 'api-key' or 'x-api-key'"),
    ],
)
def test_what_would_break_or_leak_is_refused(
    tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    values = configuration("https://host/v1", tmp_path)
    values["providers"]["scripted"] |= more

    with pytest.raises(SettingsError, match=says):
        build_settings(values)
