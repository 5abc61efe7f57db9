"""Providers that fail, in every way they do: the next tier answers, or the error says how."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest

from tests.support.gateway import Gateway, configuration, gateway, metric, until
from tests.support.provider import INVALID, Fails, Hangs, Reply, Says, Sends, provider

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]
TIERS = ("small", "medium", "large")
REFUSED_PORT = 1
NO_RETRY = {"x-should-retry": "false"}

FAILURES: dict[str, tuple[Reply, int, str, str, dict[str, str]]] = {
    "500": (Fails(500), 502, "upstream_error", "upstream_failed", NO_RETRY),
    "503": (Fails(503), 502, "upstream_error", "upstream_failed", NO_RETRY),
    "529": (Fails(529, b"<html>"), 502, "upstream_error", "upstream_failed", NO_RETRY),
    "408": (Fails(408), 502, "upstream_error", "upstream_failed", NO_RETRY),
    "204": (Fails(204, b""), 502, "upstream_error", "upstream_failed", NO_RETRY),
    "401": (Fails(401), 502, "upstream_error", "upstream_auth", NO_RETRY),
    "403": (Fails(403, b""), 502, "upstream_error", "upstream_auth", NO_RETRY),
    "404": (Fails(404), 502, "upstream_error", "upstream_model_missing", NO_RETRY),
    "429, retry after 1 s": (
        Fails(429, headers={"retry-after": "1"}),
        *(429, "rate_limit_error", "upstream_rate_limited", {"retry-after": "1"}),
    ),
    "429, retry after an hour": (
        Fails(429, headers={"retry-after": "3600"}),
        *(429, "rate_limit_error", "upstream_rate_limited", {"retry-after": "60"}),
    ),
    "429, retry after nonsense": (
        Fails(429, headers={"retry-after": "soon"}),
        *(429, "rate_limit_error", "upstream_rate_limited", {"retry-after": "1"}),
    ),
    "400": (Fails(400), 400, "invalid_request_error", "upstream_rejected", {}),
    "422 with an error of another shape": (
        Fails(422, b'["no"]'),
        *(400, "invalid_request_error", "upstream_rejected", {}),
    ),
    "too long": (
        Fails(400, b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'),
        *(400, "invalid_request_error", "context_length_exceeded", {}),
    ),
    "silence": (Hangs(), 504, "timeout_error", "upstream_timeout", NO_RETRY),
    "silence after the headers": (
        Hangs(after_headers=True),
        *(504, "timeout_error", "upstream_timeout", NO_RETRY),
    ),
    "an error with status 200": (
        Sends(b'data: {"error": {"message": "no"}}\n\n'),
        *(502, "upstream_error", "upstream_", NO_RETRY),
    ),
    "HTML with status 200": (
        Sends(b"<html>\n\n<p>hello</p></html>", "text/html"),
        *(502, "upstream_error", "upstream_broken", NO_RETRY),
    ),
    "garbage": (
        Sends(b"data: \x00\xff{{{\n\ndata: [DONE]\n\n"),
        *(502, "upstream_error", "upstream_broken", NO_RETRY),
    ),
    "no choices": (
        Sends(b'data: {"choices": []}\n\ndata: [DONE]\n\n'),
        *(502, "upstream_error", "upstream_broken", NO_RETRY),
    ),
    "nothing": (Sends(b""), 502, "upstream_error", "upstream_broken", NO_RETRY),
    "cut off": (
        Sends(b'data: {"choices": [{"del', cut=True),
        *(502, "upstream_error", "upstream_broken", NO_RETRY),
    ),
}


QUICK = {"timeouts": {"connect_s": 1, "first_byte_s": 0.25, "idle_s": 0.25}}


def tiers(**changes: Json) -> list[Json]:
    """The usual tiers, changed by name; only `small` is given up quickly."""
    usual: list[Json] = configuration("", Path())["tiers"]
    changes = {"small": {}, **changes}
    changes["small"] = {**QUICK, **changes["small"]}
    return [{**tier, **changes.get(tier["name"], {})} for tier in usual]


def all_answer(gate: Gateway, reply: Reply) -> None:
    for name in TIERS:
        gate.provider.answers(f"model-{name}", reply)


async def test_a_tier_that_fails_is_replaced_by_the_next(tmp_path: Path) -> None:
    async with gateway(tmp_path, tiers=tiers()) as gate:
        for how, (failure, *_) in FAILURES.items():
            gate.provider.answers("model-small", failure)
            for stream in (False, True):
                gate.provider.calls.clear()
                reply = await gate.ask(model="auto:cascade", stream=stream)
                assert reply.status_code == 200, how
                assert reply.headers["x-autoshift-tier"] == "medium", how
                assert reply.headers["x-autoshift-degraded"] == "tier:small", how
                assert reply.headers["x-autoshift-verified"] == "yes", how
                assert gate.provider.asked() == ["model-small", "model-medium"], how


async def test_when_every_tier_fails_the_status_tells_how(tmp_path: Path) -> None:
    async with gateway(tmp_path, tiers=tiers(medium=QUICK, large=QUICK)) as gate:
        for how, (failure, status, kind, code, headers) in FAILURES.items():
            all_answer(gate, failure)
            for stream in (False, True):
                reply = await gate.ask(model="auto:cascade", stream=stream)
                assert reply.status_code == status, how
                error = reply.json()["error"]
                assert set(error) == {"message", "type", "param", "code"}, how
                assert error["type"] == kind, how
                assert error["code"].startswith(code), how
                for name in ("retry-after", "x-should-retry"):
                    assert reply.headers.get(name) == headers.get(name), how
                told = await gate.decision(reply.headers["x-request-id"])
                assert (told["outcome"], told["error"]) == ("failed", error["code"]), how
                assert len(told["attempts"]) == 3, how


async def test_a_provider_that_cannot_be_reached_is_replaced_by_the_next_tier(
    tmp_path: Path,
) -> None:
    gone = {"gone": {"base_url": f"http://127.0.0.1:{REFUSED_PORT}/v1"}}
    async with provider() as behind:
        alive = {"scripted": {"base_url": behind.url}}
        changed = tiers(small={"provider": "gone"}, large={"provider": "gone"})
        async with gateway(tmp_path, behind, tiers=changed, providers=gone | alive) as gate:
            for stream in (False, True):
                reply = await gate.ask(model="auto:cascade", stream=stream)
                assert reply.headers["x-autoshift-tier"] == "medium"
            reply = await gate.ask(model="large")
            assert reply.status_code == 502
            assert reply.json()["error"]["code"] == "upstream_unreachable"
            # Nothing was done there, so nothing was spent.
            told = await gate.decision(reply.headers["x-request-id"])
            assert told["cost_usd"] == 0


async def test_of_several_waits_the_shortest_is_told(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for name, wait in (("small", "30"), ("medium", "7"), ("large", "sometime")):
            gate.provider.answers(f"model-{name}", Fails(429, headers={"retry-after": wait}))
        reply = await gate.ask()
        assert reply.status_code == 429
        assert reply.headers["retry-after"] == "7"


async def test_a_rejection_is_the_clients_own_fault_only_if_every_tier_says_so(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        all_answer(gate, Fails(400))
        gate.provider.answers("model-medium", Fails(500))
        assert (await gate.ask()).status_code == 502


async def test_a_providers_message_is_told_without_its_secrets(tmp_path: Path) -> None:
    message = "Incorrect sk-abcd1234efgh5678 of org-Zz99, see https://api.example.com/keys?k=1."
    async with gateway(tmp_path) as gate:
        all_answer(gate, Fails(400, orjson.dumps({"error": {"message": message, "param": "n"}})))
        error = (await gate.ask()).json()["error"]
        assert error["message"].startswith("scripted: Incorrect")
        assert error["param"] == "n"
        for secret in ("sk-", "abcd1234", "org-Zz99", "https", "example.com", gate.provider.url):
            assert secret not in json.dumps(error)
        for status in (401, 500):
            all_answer(gate, Fails(status, orjson.dumps({"error": {"message": message}})))
            assert "Incorrect" not in (await gate.ask()).text


async def test_a_pinned_request_does_not_fall_back(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Fails(500))
        for model in ("small", "model-small"):
            reply = await gate.ask(model=model)
            assert reply.status_code == 502
            assert (await gate.decision(reply.headers["x-request-id"]))["kind"] == "pinned"
        assert set(gate.provider.asked()) == {"model-small"}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_with_the_tiers_above_down_the_best_tier_alive_answers(
    tmp_path: Path, stream: bool
) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-large", Fails(500))
        gate.provider.verdicts("model-medium", INVALID)
        gate.provider.answers("model-medium", Says("second best"))
        reply = await gate.ask(stream=stream)
        assert reply.status_code == 200
        assert "second best" in reply.text
        assert reply.headers["x-autoshift-tier"] == "medium"
        assert reply.headers["x-autoshift-verified"] == "no"
        assert reply.headers["x-autoshift-degraded"] == "tier:large"
        # A start at the top goes down for the same reason.
        reply = await gate.ask(model="auto:always:large", stream=stream)
        assert "second best" in reply.text


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_when_time_is_up_the_best_answer_so_far_is_served(
    tmp_path: Path, stream: bool
) -> None:
    # A plain reply has the time its client waits; a stream is kept alive, so only ours counts.
    hint = {} if stream else {"x-stainless-read-timeout": "2.5"}
    async with gateway(tmp_path, server={"deadline_s": 0.6 if stream else 280}) as gate:
        gate.provider.answers("model-small", Says("so far"))
        gate.provider.verdicts("model-medium", INVALID)
        gate.provider.answers("model-medium", Hangs())
        started_s = asyncio.get_running_loop().time()
        reply = await gate.ask(headers=hint, stream=stream)
        assert asyncio.get_running_loop().time() - started_s < 2.5
        assert reply.status_code == 200
        assert "so far" in reply.text
        assert reply.headers["x-autoshift-verified"] == "no"
        assert "deadline" in reply.headers["x-autoshift-degraded"].split(",")
        assert gate.provider.asked() == ["model-small", "model-medium"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", ["auto", "large"], ids=["routed", "pinned"])
async def test_when_time_is_up_without_an_answer_the_status_is_504(
    tmp_path: Path, model: str, stream: bool
) -> None:
    async with gateway(tmp_path, server={"deadline_s": 0.4}) as gate:
        for name in ("small", "medium"):
            gate.provider.answers(f"model-{name}", Fails(500))
        gate.provider.answers("model-large", Hangs())
        reply = await gate.ask(model=model, stream=stream)
        assert reply.status_code == 504
        error = reply.json()["error"]
        assert (error["type"], error["code"]) == ("timeout_error", "deadline_exceeded")
        assert reply.headers["x-should-retry"] == "false"
        await until(lambda: gate.provider.open == 0, within_s=0.25)


async def test_a_judge_that_hangs_leaves_the_answer_it_was_to_judge(tmp_path: Path) -> None:
    async with gateway(tmp_path, server={"deadline_s": 0.4}) as gate:
        gate.provider.verdicts("model-medium", Hangs())
        reply = await gate.ask()
        assert reply.status_code == 200
        assert reply.headers["x-autoshift-tier"] == "small"
        assert reply.headers["x-autoshift-verified"] == "no"
        assert "deadline" in reply.headers["x-autoshift-degraded"].split(",")


async def test_an_upstreams_cookies_go_nowhere(tmp_path: Path) -> None:
    cookie = {"set-cookie": "session=stolen; Path=/"}
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Fails(500, headers=cookie), Says())
        for _ in range(2):
            reply = await gate.ask(model="auto:cascade")
            assert "set-cookie" not in reply.headers
        assert len(gate.provider.asked()) == 3
        assert all("cookie" not in call.headers for call in gate.provider.calls)


async def test_an_upstreams_redirect_is_not_followed(tmp_path: Path) -> None:
    async with provider() as elsewhere, gateway(tmp_path) as gate:
        for status in (302, 307, 308):
            to = {"location": f"{elsewhere.url}/chat/completions"}
            gate.provider.answers("model-small", Fails(status, headers=to))
            assert (await gate.ask(model="small")).status_code == 502
        assert elsewhere.calls == []


async def test_failures_teach_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for failure in (Fails(500), Sends(b"garbage"), Says("half", finish=None), Fails(429)):
            gate.provider.answers("model-small", failure)
            await gate.ask(model="auto:cascade", stream=True)
        await until(lambda: _delivered(gate))
        told = await gate.decision_of(await gate.ask())
        assert told["start"]["neighbours"] == 4
        small = told["start"]["estimates"]["small"]
        assert (small["weight_right"], small["weight_wrong"]) == (0, 0)
        assert small["accuracy"] == small["prior"]


async def _delivered(gate: Gateway) -> bool:
    waiting: int = (await gate.http.get("/readyz")).json()["outbox_entries"]
    return waiting == 0


async def test_an_unknown_price_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    unknown = {"model": "nobody-knows-me", "price": None}
    async with gateway(tmp_path, tiers=tiers(small=unknown)) as gate:
        reply = await gate.ask()
        assert reply.headers["x-autoshift-tier"] == "small"
        assert reply.json()["autoshift"]["cost_usd"] is None
        assert "x-autoshift-cost-usd" not in reply.headers
        told = await gate.decision_of(reply)
        assert (told["cost_usd"], told["costs_usd"]["answer"]) == (None, None)
        assert told["costs_usd"]["judge"] == pytest.approx(2200e-6)
        metrics = (await gate.http.get("/metrics")).text
        assert metric(metrics, "autoshift_cost_usd_total", tier="small") == 0
        assert metric(metrics, "autoshift_cost_usd_total", tier="medium") > 0


UNKNOWN = """{
  "model": "auto", "stream": %s,
  "messages": [{"role": "user", "content": "What is 2 + 2?", "name": "Ännchen", "x": [1e2, null]}],
  "autoshift": {"task": "sums"},
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
    "properties": {"x": {"maximum": 3.14159265358979323846264338327}}}}}],
  "temperature": 0.1, "seed": 9007199254740993, "top_p": 0.123456789012345678901234567890,
  "huge": 123456789012345678901234567890, "negative": -9223372036854775809,
  "vendor": {"deep": [{"ly": {"nested": [true, false, null, "", {}, []]}}]},
  "empty": {}, "text": "\\u00e9\\ud83d\\ude00\\u2028", "date": "2026-11-22T00:00:00Z"
}"""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_request_fields_we_do_not_know_reach_the_upstream_unchanged(
    tmp_path: Path, stream: bool
) -> None:
    sent = UNKNOWN % json.dumps(stream)
    async with gateway(tmp_path) as gate:
        reply = await gate.http.post(
            "/v1/chat/completions",
            content=sent.encode(),
            headers={"content-type": "application/json"},
        )
        assert reply.status_code == 200
        assert reply.headers["x-autoshift-verified"] == "yes"
        asked, judged = gate.provider.calls
        assert judged.judging
        got, wanted = (json.loads(text, parse_float=Decimal) for text in (asked.raw, sent))
        assert got.pop("model") == "model-small"
        assert got.pop("stream", False) is stream
        assert got.pop("stream_options", None) == ({"include_usage": True} if stream else None)
        for ours in ("model", "stream", "autoshift"):
            del wanted[ours]
        assert got == wanted
        assert "autoshift" not in asked.raw.decode()


async def test_the_clients_headers_stay_here_and_our_key_goes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = {
        "authorization": "Bearer client-secret",
        "cookie": "a=client-secret",
        "x-api-key": "client-secret",
        "openai-organization": "client-secret",
        "x-forwarded-for": "10.0.0.1",
        "x-stainless-lang": "python",
        "x-autoshift-task": "sums",
    }
    monkeypatch.setenv("SCRIPTED_KEY", "sk-ours")
    async with provider() as behind:
        keyed = {"scripted": {"base_url": behind.url, "api_key_env": "SCRIPTED_KEY"}}
        async with gateway(tmp_path, behind, providers=keyed) as gate:
            assert (await gate.ask(headers=private)).status_code == 200
            assert len(behind.calls) == 2
            for call in behind.calls:
                assert call.headers["authorization"] == "Bearer sk-ours"
                assert "client-secret" not in json.dumps([call.headers, call.body])
                kept = {"x-forwarded-for", "x-stainless-lang", "x-autoshift-task", "cookie"}
                assert not kept & set(call.headers)
            refused = Fails(401, b'{"error": {"message": "Incorrect key provided: sk-ours"}}')
            all_answer(gate, refused)
            assert "sk-ours" not in (await gate.ask()).text
