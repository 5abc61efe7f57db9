"""`autoshift check` says what is wrong, and what would be right."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from app.check.command import look, run
from app.check.findings import Finding
from app.commands.usage import parser
from app.serving import serving
from app.settings.configuration import build_settings
from app.store.lock import DirectoryLock
from tests.support.gateway import configuration
from tests.support.provider import Fails, Provider, Says, Sends, provider

pytestmark = pytest.mark.anyio

MODELS = ("model-small", "model-medium", "model-large")


def lists(behind: Provider, *models: str) -> None:
    entries = [{"id": model, "object": "model"} for model in models]
    body = json.dumps({"object": "list", "data": entries}).encode()
    behind.listing = Sends(body, "application/json")


async def found(values: dict[str, Any], *, ask: bool = False) -> dict[str, Finding]:
    """What was found, by what it is about; of several the last."""
    return {each.about: each async for each in look(build_settings(values), ask=ask)}


def told(finding: Finding) -> str:
    return f"{finding.says} → {finding.remedy}"


async def test_nothing_is_wrong_where_all_is_well(tmp_path: Path) -> None:
    async with provider() as behind:
        lists(behind, *MODELS)
        findings = await found(configuration(behind.url, tmp_path / "store"))

    assert {finding.level for finding in findings.values()} == {"ok"}
    abouts = "provider scripted, tier small, tier medium, tier large, prices, store, server"
    assert set(findings) == set(abouts.split(", "))
    assert not (tmp_path / "store").exists(), "a check leaves nothing behind"


async def test_a_model_that_is_not_there_is_told_with_those_that_look_like_it(
    tmp_path: Path,
) -> None:
    async with provider() as behind:
        lists(behind, "models/model-small", "model-mediun", "model-large")
        findings = await found(configuration(behind.url, tmp_path))

    assert findings["tier small"].level == "ok", "Google writes models/ before them"
    assert findings["tier medium"].level == "error"
    assert "did you mean model-mediun" in told(findings["tier medium"])


@pytest.mark.parametrize(
    ("listing", "level", "says"),
    [
        (Fails(401), "error", "it wants a key: name the variable that holds it in api_key_env"),
        (Fails(404), "warning", "has no list of models (HTTP 404)"),
        (Fails(500), "error", "failed (HTTP 500)"),
        (Sends(b"<html>", "text/html"), "error", "most end in /v1"),
    ],
)
async def test_a_provider_that_does_not_list_its_models(
    tmp_path: Path, listing: Any, level: str, says: str
) -> None:
    async with provider() as behind:
        behind.listing = listing
        findings = await found(configuration(behind.url, tmp_path))

    assert findings["provider scripted"].level == level
    assert says in told(findings["provider scripted"])


async def test_a_provider_that_is_not_there_and_a_key_that_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    values = configuration("http://127.0.0.1:1/v1", tmp_path)
    values["providers"]["other"] = {"base_url": "http://127.0.0.1:1", "api_key_env": "NO_SUCH_KEY"}
    findings = await found(values)

    assert "no connection could be made" in findings["provider scripted"].says
    assert "http://127.0.0.1:1/v1 is right" in told(findings["provider scripted"])
    assert "NO_SUCH_KEY is not set" in findings["provider other"].says
    assert "export NO_SUCH_KEY=" in told(findings["provider other"])


async def test_clients_keys_that_are_not_set_or_cap_money_that_is_not_known_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_A_KEY", "of-team-a-0123456789")
    monkeypatch.setenv("TEAM_B_KEY", "of-team-b-0123456789")
    monkeypatch.delenv("TEAM_C_KEY", raising=False)
    values = configuration("http://127.0.0.1:1/v1", tmp_path)
    values["tiers"][1]["price"] = None
    values["keys"] = [
        {"name": "a", "key_env": "TEAM_A_KEY", "tenant": "ours"},
        {"name": "b", "key_env": "TEAM_B_KEY", "limits": {"usd_per_day": 5}},
        {"name": "c", "key_env": "TEAM_C_KEY"},
    ]
    findings = await found(values)

    assert (findings["key a"].level, findings["key a"].says) == (
        "ok",
        "asks for tenant ours as user",
    )
    assert "usd_per_day caps money, but what medium costs is unknown" in told(findings["key b"])
    assert "export TEAM_C_KEY=" in told(findings["key c"])
    assert "configuration" not in findings, "nothing is told twice"


async def test_a_server_of_limits_that_is_not_there_is_told(tmp_path: Path) -> None:
    values = configuration("http://127.0.0.1:1/v1", tmp_path)
    findings = await found({**values, "limits": {"url": "redis://127.0.0.1:1"}})

    assert findings["limits"].level == "error"
    assert "redis://127.0.0.1:1 does not answer" in told(findings["limits"])


async def test_asking_finds_the_tier_that_would_not_answer(tmp_path: Path) -> None:
    async with provider() as behind:
        lists(behind, *MODELS)
        behind.answers("model-small", Says("ok"))
        behind.answers("model-medium", Fails(404))
        findings = await found(configuration(behind.url, tmp_path), ask=True)

    assert sorted(behind.asked()) == sorted(MODELS)
    assert "answered in" in findings["tier small"].says
    assert findings["tier medium"].level == "error"
    assert "deployment's name" in told(findings["tier medium"])


async def test_prices_that_do_not_rise_or_are_not_known_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with provider() as behind:
        values = configuration(behind.url, tmp_path)
        values["tiers"][1]["price"] = {"input": 500, "output": 500}
        falling = await found(values)
        values["tiers"][1]["price"] = None
        values["value"] = {"usd_per_1000": 2.5}
        unknown = await found(values)

    assert falling["prices"].level == "warning"
    assert "tier medium is dearer than large" in told(falling["prices"])
    assert "medium is dearer than large" in caplog.text, "the gateway's log says it at a start"
    assert "tier medium: the price of model-medium is unknown" in told(unknown["prices"])
    assert unknown["value.usd_per_1000"].level == "error"


async def test_a_store_that_is_in_use_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    values = configuration("http://127.0.0.1:1/v1", tmp_path / "store")
    lock = DirectoryLock(tmp_path / "store")
    lock.acquire()
    in_use = await found(values)
    lock.release()
    free = await found(values)
    unwritable = await found({**values, "store": {"path": str(file / "store")}})

    assert in_use["store"].level == "warning"
    assert "in use by another process" in told(in_use["store"])
    assert free["store"].level == "ok"
    assert unwritable["store"].level == "error"
    assert "cannot be written" in told(unwritable["store"])


async def test_a_qdrant_server_is_asked_for_its_version(tmp_path: Path) -> None:
    versions = iter(["1.20.0", "1.9.2"])

    async def qdrant(_scope: Any, _receive: Any, send: Any) -> None:
        body = json.dumps({"title": "qdrant", "version": next(versions)}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    values = configuration("http://127.0.0.1:1/v1", tmp_path)
    async with serving(qdrant, drain_s=1) as listening:
        values["store"] = {"url": listening.url, "path": str(tmp_path)}
        new, old = await found(values), await found(values)
    gone = await found(values)

    assert (new["store"].level, new["store"].says[:13]) == ("ok", "Qdrant 1.20.0")
    assert "1.9.2" in told(old["store"])
    assert "1.17 or later" in told(old["store"])
    assert "no Qdrant server answers" in told(gone["store"])


async def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = configuration("http://127.0.0.1:1/v1", tmp_path)
        values["server"]["port"] = taken.getsockname()[1]
        findings = await found(values)

    assert findings["server"].level == "warning"
    assert "choose another server.port" in told(findings["server"])


async def test_the_exit_status_and_the_json_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check(*arguments: str | Path) -> tuple[int, Any]:
        status = await run(parser().parse_args(["check", "--json", *map(str, arguments)]))
        return status, json.loads(capsys.readouterr().out)

    async with provider() as behind:
        lists(behind, *MODELS)
        values = configuration(behind.url, tmp_path / "store")
        good, doubtful, wrong = (tmp_path / f"{name}.yaml" for name in ("good", "odd", "wrong"))
        good.write_text(json.dumps(values))
        values["tiers"][0]["price"] = {"input": 5000, "output": 5000}
        doubtful.write_text(json.dumps(values))
        wrong.write_text(json.dumps({**values, "polcy": "value"}))
        results = [
            await check("--config", good),
            await check("--config", doubtful),
            await check("--config", doubtful, "--strict"),
            await check("--config", wrong),
        ]

    assert [status for status, _ in results] == [0, 0, 1, 2]
    assert [said["ok"] for _, said in results] == [True, True, True, False]
    assert "did you mean 'policy'" in results[3][1]["findings"][0]["says"]
