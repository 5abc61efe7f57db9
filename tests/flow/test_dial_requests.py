"""The dials through the door: set by configuration, by body, by header; and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import SettingsError
from app.settings.configuration import build_settings
from tests.support.gateway import Gateway, Json, configuration, gateway

pytestmark = pytest.mark.anyio


async def trade_of(gate: Gateway, headers: dict[str, str] | None = None, **more: Any) -> Json:
    """On what terms a request traded money for accuracy."""
    reply = await gate.ask(headers=headers, **more)
    assert reply.status_code == 200, reply.text
    told = await gate.decision_of(reply)
    trade: Json = told["start"]["trade"]
    return trade


async def test_the_record_says_what_accuracy_was_worth(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        trade = await trade_of(gate)

    assert trade["dial"] is None
    assert trade["quality_per_dollar"] > 0
    assert trade["expected_usd"] is None


async def test_a_dial_is_configured(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="value", value={"usd_per_1000": 5}) as gate:
        trade = await trade_of(gate)

    assert trade["dial"] == {"name": "usd_per_1000", "value": 5.0}
    assert trade["expected_usd"] == pytest.approx(0.005)
    assert 0 < trade["expected_quality"] <= 1


@pytest.mark.parametrize("name", ["quality_per_dollar", "usd_per_1000", "keep_quality"])
async def test_a_request_has_a_dial_of_its_own_in_its_body_or_a_header(
    tmp_path: Path, name: str
) -> None:
    async with gateway(tmp_path, policy="value", value={"keep_quality": 0.9}) as gate:
        in_body = await trade_of(gate, autoshift={name: 0.5})
        in_header = await trade_of(gate, {f"x-autoshift-{name.replace('_', '-')}": "0.5"})
        configured = await trade_of(gate)
        sent = gate.provider.calls

    assert in_body["dial"] == in_header["dial"] == {"name": name, "value": 0.5}
    assert configured["dial"] == {"name": "keep_quality", "value": 0.9}
    assert all("autoshift" not in call.body for call in sent)


async def test_a_thrifty_request_is_served_by_a_cheaper_tier(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        lavish = await gate.ask(autoshift={"quality_per_dollar": 1e-3})
        thrifty = await gate.ask(autoshift={"quality_per_dollar": 1e9})

    assert thrifty.headers["x-autoshift-tier"] == "small"
    assert float(thrifty.headers["x-autoshift-cost-usd"]) < float(
        lavish.headers["x-autoshift-cost-usd"]
    )


@pytest.mark.parametrize(
    ("extension", "param"),
    [
        ({"usd_per_1000": 0}, "usd_per_1000"),
        ({"keep_quality": 1.01}, "keep_quality"),
        ({"quality_per_dollar": "auto"}, "quality_per_dollar"),
        ({"usd_per_1000": 3, "keep_quality": 0.9}, "keep_quality"),
    ],
)
async def test_a_dial_that_cannot_be_set_is_refused_by_its_name(
    tmp_path: Path, extension: Json, param: str
) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        refused = await gate.ask(autoshift=extension)

    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == f"autoshift.{param}"
    assert gate.provider.calls == []


@pytest.mark.parametrize("model", ["auto:llm_at", "auto:cascade", "auto:always:small", "medium"])
async def test_a_dial_that_nothing_would_heed_is_refused(tmp_path: Path, model: str) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        refused = await gate.ask(model=model, autoshift={"keep_quality": 0.9})
        headed = await gate.ask(model=model, headers={"x-autoshift-keep-quality": "0.9"})
        heeded = await gate.ask(model="auto:value", autoshift={"keep_quality": 0.9})

    assert refused.status_code == headed.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "autoshift.keep_quality")
    assert "auto:value" in error["message"]
    assert heeded.status_code == 200


def test_two_dials_in_the_configuration_are_refused(tmp_path: Path) -> None:
    both = configuration(
        "http://127.0.0.1:9", tmp_path, value={"usd_per_1000": 3, "keep_quality": 1}
    )

    with pytest.raises(SettingsError) as refused:
        build_settings(both)

    assert "usd_per_1000 and keep_quality exclude each other" in refused.value.message
