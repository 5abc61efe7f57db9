"""The fault matrix, U1 to U15: whatever one upstream does, requests end well, once and in time.

Each fault meets a plain request and a stream, on the first tier with the others sound, and on all
tiers at once. What has failed is no label, whatever was said before it failed.
"""

import asyncio
import gzip
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import trustme

from app.tiers import Tier
from tests.support.exchange import plain_exchange
from tests.support.faults import (
    Act,
    black_hole,
    breaks,
    completion,
    drips,
    endless,
    event,
    fails,
    faulty_provider,
    holds,
    raw,
    says,
    sends,
    whole_stream,
)
from tests.support.faulty_gateway import PATIENT, QUICK, ended_well, faulty_gateway, tiers
from tests.support.gateway import Json, chat, configuration, gateway_before, metric
from tests.support.keys import bearer, keys_in
from tests.support.memory import peak_bytes

pytestmark = pytest.mark.anyio

TIERS = ("small", "medium", "large")
MIB = 2**20
LISTENS = "Autoshift listens on "
RSS_BYTES = 64 * MIB
UNSHARED = ("unshare", "--mount", "--map-root-user")
"""A process with mounts of its own."""
HOP_S = 5
"""What one failing hop may take here: its timeouts, and a busy machine."""
TINY_S = 120
"""What a request may take where events by the hundred thousand are read until it is enough."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the client sees where every tier fails so: a status, or the status of an error event."""

    status: int
    code: str
    retry_after: str | None = None


FAILED = Expected(502, "upstream_failed")
BROKEN = Expected(502, "upstream_broken")
SILENT = Expected(504, "upstream_timeout")
GARBAGE = b"data: \x00\xff{{{\n\ndata: [DONE]\n\n"


def limited(retry_after: str) -> Act:
    return fails(429, f"retry-after: {retry_after}")


def told(data: Json) -> Act:
    """One event, or a whole answer, with this in it."""
    return sends(b"data: " + orjson.dumps(data) + b"\n\n")


def answering(choice: Json) -> Act:
    return told({"choices": [choice]})


FAULTS: Mapping[str, Mapping[str, tuple[Act, Expected]]] = {
    "U1": {
        "429, 1 s": (limited("1"), Expected(429, "upstream_rate_limited", "1")),
        "429, 61 s": (limited("61"), Expected(429, "upstream_rate_limited", "60")),
        "429, 3600 s": (limited("3600"), Expected(429, "upstream_rate_limited", "60")),
        "429, a date": (
            limited("Wed, 21 Oct 2099 07:28:00 GMT"),
            Expected(429, "upstream_rate_limited", "60"),
        ),
        "429, garbage": (limited("soon"), Expected(429, "upstream_rate_limited", "1")),
    },
    "U2": {
        "500": (fails(500), FAILED),
        "502, HTML": (fails(502, body=b"<html>"), FAILED),
        "503, nothing": (fails(503, body=b""), FAILED),
        "504": (fails(504), FAILED),
        "529": (fails(529), FAILED),
    },
    "U3": {
        "401": (fails(401), Expected(502, "upstream_auth")),
        "403": (fails(403), Expected(502, "upstream_auth")),
        "404": (fails(404), Expected(502, "upstream_model_missing")),
    },
    "U4": {"reset at once": (raw(b"", "reset"), BROKEN)},
    "U5": {"no headers": (holds(), SILENT), "half a header": (holds(b"HTTP/1.1 2"), SILENT)},
    "U7": {
        "cut in mid-chunk": (
            raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nda"),
            BROKEN,
        ),
        "cut in mid-line": (sends(b'data: {"choices": [{"del', ending="cut"), BROKEN),
        "a clean end without finish": (sends(event({"content": "half"})), BROKEN),
        "DONE without finish": (sends(event({"content": "half"}) + b"data: [DONE]\n\n"), BROKEN),
    },
    "U9": {
        "garbage": (sends(GARBAGE), BROKEN),
        "a list": (told([]), BROKEN),  # type: ignore[arg-type]
        "choices null": (told({"choices": None}), BROKEN),
        "choices of numbers": (told({"choices": [1, 2]}), BROKEN),
        "content of another type": (
            answering({"index": 0, "delta": {"content": {}}, "finish_reason": "stop"}),
            BROKEN,
        ),
        "an error with 200": (told({"error": {"message": "no"}}), Expected(502, "upstream_")),
        "HTML with 200": (sends(b"<html>no</html>", kind="text/html"), BROKEN),
    },
    "U10": {
        "an event of 9 MiB": (sends(b"data: " + b"x" * 9 * MIB + b"\n\n"), BROKEN),
        "an answer of 17 MiB": (sends(event({"content": "x" * MIB}) * 17), BROKEN),
        "no end": (endless(event({"content": "x" * 64 * 1024})), BROKEN),
        "no end, in tiny events": (endless(event({"content": "x"}) * 1000), BROKEN),
    },
    "U11": {
        "gzip": (
            sends(gzip.compress(b"\0" * 10 * MIB), "content-encoding: gzip"),
            BROKEN,
        ),
        "a wrong encoding": (sends(b"no gzip", "content-encoding: gzip"), BROKEN),
        "a bad chunk size": (
            raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
            BROKEN,
        ),
        "headers of 1 MiB": (sends(b"{}", "x-filler: " + "x" * MIB), BROKEN),
        "not HTTP": (raw(b"\x16\x03\x01\x00\xa5"), BROKEN),
    },
}


ROWS = (("U1", "U2", "U3", "U4"), ("U5",), ("U7", "U9"), ("U10",), ("U11",))


def faults(rows: Sequence[str]) -> list[tuple[str, Act, Expected]]:
    """What is to be tried, each with its name."""
    return [(f"{row}: {how}", *FAULTS[row][how]) for row in rows for how in FAULTS[row]]


@pytest.mark.parametrize("rows", ROWS, ids="-".join)
async def test_the_next_tier_answers_for_one_that_fails(
    tmp_path: Path, rows: Sequence[str]
) -> None:
    async with faulty_gateway(tmp_path) as (gate, behind):
        for how, fault, _ in faults(rows):
            if "tiny" in how:
                continue  # dear to read: once is enough, in the test of memory
            behind.plays("model-small", fault)
            for stream in (False, True):
                behind.hops.clear()
                started_s = time.monotonic()
                reply = await gate.ask(model="auto:cascade", stream=stream)
                assert time.monotonic() - started_s < HOP_S, how
                assert ended_well(reply, stream=stream), (how, reply.text)
                assert reply.headers["x-autoshift-tier"] == "medium", how
                assert reply.headers["x-autoshift-degraded"] == "tier:small", how
                # A kept connection that is reset looks like a stale one, so a new one is tried.
                asked = list(dict.fromkeys(behind.asked()))
                assert asked == ["model-small", "model-medium"], how
                attempt, _ = (await gate.decision_of(reply))["attempts"]
                assert (attempt["outcome"], attempt["verdicts"]) == ("failed", []), how


@pytest.mark.parametrize("rows", ROWS, ids="-".join)
async def test_where_all_tiers_fail_the_error_says_how(tmp_path: Path, rows: Sequence[str]) -> None:
    timeouts = QUICK if rows == ("U5",) else PATIENT
    waiting = tiers(**{name: {"timeouts": timeouts} for name in TIERS})
    async with faulty_gateway(tmp_path, tiers=waiting) as (gate, behind):
        for how, fault, expected in faults(rows):
            if "tiny" in how:
                continue  # as above
            for tier in TIERS:
                behind.plays(f"model-{tier}", fault)
            for stream in (True,) if rows == ("U10",) else (False, True):
                reply = await gate.ask(model="auto:cascade", stream=stream)
                assert not ended_well(reply, stream=stream), how
                error = reply.json()["error"] if reply.status_code != 200 else last_error(reply)
                assert error["code"].startswith(expected.code), how
                record = await gate.decision(reply.headers["x-request-id"])
                assert [a["outcome"] for a in record["attempts"]] == ["failed"] * 3, how
                assert all(a["verdicts"] == [] for a in record["attempts"]), how
                if reply.status_code != 200:
                    assert reply.status_code == expected.status, how
                    assert reply.headers.get("retry-after") == expected.retry_after, how
                    again = None if expected.status == 429 else "false"
                    assert reply.headers.get("x-should-retry") == again, how


def last_error(reply: httpx.Response) -> Json:
    """The error event that ends a stream."""
    error: Json = orjson.loads(reply.text.strip().rpartition("data: ")[2])["error"]
    return error


async def test_u4_what_takes_no_connection_is_given_up_after_its_time(tmp_path: Path) -> None:
    refused = {"base_url": "http://127.0.0.1:1/v1"}
    async with black_hole() as nowhere, faulty_provider() as behind:
        # One may wait longer to connect than for the answer: it is unreachable all the same.
        slow = {"timeouts": {**QUICK, "connect_s": 5}}
        places = [(refused, {}), ({"base_url": nowhere}, {}), ({"base_url": nowhere}, slow)]
        for number, (place, times) in enumerate(places):
            providers = {"gone": place, "scripted": {"base_url": behind.url}}
            changed = tiers(small={"provider": "gone", **times})
            store = tmp_path / str(number)
            async with gateway_before(behind, store, providers=providers, tiers=changed) as gate:
                for stream in (False, True):
                    started_s = time.monotonic()
                    reply = await gate.ask(model="auto:cascade", stream=stream)
                    assert time.monotonic() - started_s < 2
                    assert reply.headers["x-autoshift-degraded"] == "tier:small"
                    attempt, _ = (await gate.decision_of(reply))["attempts"]
                    assert (attempt["error"], attempt["cost_usd"]) == ("upstream_unreachable", 0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_u6_a_slow_answer_survives_as_long_as_it_moves(tmp_path: Path, stream: bool) -> None:
    async with faulty_gateway(tmp_path) as (gate, behind):
        behind.plays("model-small", says("slow but sound", pieces=4, pause_s=0.2))
        reply = await gate.ask(model="auto:cascade", stream=stream)
        assert reply.headers["x-autoshift-tier"] == "small"
        behind.plays("model-small", says("too slow", pieces=4, pause_s=0.8))
        if stream:
            reply = await gate.ask(model="auto:cascade", stream=True)
            assert reply.headers["x-autoshift-tier"] == "medium"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_u6_a_drip_is_bounded_by_the_tiers_total_and_by_the_deadline(
    tmp_path: Path, stream: bool
) -> None:
    timeouts = {"timeouts": {**QUICK, "total_s": 0.5}}
    changed = tiers(small=timeouts)
    async with faulty_gateway(tmp_path, tiers=changed, server={"port": 0, "deadline_s": 1.2}) as (
        gate,
        behind,
    ):
        behind.plays("model-small", drips(b" ", 0.05))
        reply = await gate.ask(model="auto:cascade", stream=stream)
        assert reply.headers["x-autoshift-tier"] == "medium"
        attempt, _ = (await gate.decision_of(reply))["attempts"]
        assert (attempt["outcome"], attempt["error"]) == ("failed", "upstream_timeout")
        behind.plays("model-medium", drips(b": no\n\n" if stream else b" ", 0.05))
        started_s = time.monotonic()
        reply = await gate.ask(model="auto:cascade", stream=stream)
        assert time.monotonic() - started_s < 2.5
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_u7_an_end_after_the_finish_is_an_end(tmp_path: Path, stream: bool) -> None:
    async with faulty_gateway(tmp_path) as (gate, behind):
        *events, _, _ = whole_stream("whole", 2)
        body = b"".join(events) if stream else completion("whole")
        behind.plays("model-small", sends(body, ending="whole"))
        reply = await gate.ask(model="auto:cascade", stream=stream)
        assert ended_well(reply, stream=stream)
        assert reply.headers["x-autoshift-tier"] == "small"


@pytest.mark.parametrize("ending", ["cut", "reset"])
async def test_u8_a_held_stream_that_breaks_is_never_seen(tmp_path: Path, ending: Any) -> None:
    async with faulty_gateway(tmp_path, tiers=tiers(small={"timeouts": PATIENT})) as (gate, behind):
        for after in range(21):
            behind.plays("model-small", breaks(after, ending))
            for stream in (False, True):
                reply = await gate.ask(model="auto:cascade", stream=stream)
                assert ended_well(reply, stream=stream), after
                assert "never" not in reply.text
                assert reply.headers["x-autoshift-tier"] == "medium", after


@pytest.mark.parametrize("ending", ["cut", "reset"])
async def test_u8_a_live_stream_that_breaks_ends_in_an_error_event(
    tmp_path: Path, ending: Any
) -> None:
    async with faulty_gateway(tmp_path, tiers=tiers(small={"timeouts": PATIENT})) as (gate, behind):
        for after in range(21):
            behind.hops.clear()
            behind.plays("model-small", breaks(after, ending))
            reply = await gate.ask(model="small", stream=True)
            assert not ended_well(reply, stream=True), after
            # An RST may overtake what was sent before it, so that not a byte has come.
            assert reply.status_code == 502 or last_error(reply)["code"] == "upstream_broken"
            assert behind.asked() == ["model-small"], "what has begun is not asked for again"
            record = await gate.decision(reply.headers["x-request-id"])
            assert (record["outcome"], record["attempts"][0]["outcome"]) == ("failed", "failed")


async def test_u9_what_can_be_repaired_is(tmp_path: Path) -> None:
    calls = [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]
    delta = {"role": "assistant", "tool_calls": calls}
    async with faulty_gateway(tmp_path) as (gate, behind):
        behind.plays("model-small", answering({"delta": delta, "finish_reason": "tool_calls"}))
        reply = await gate.ask(model="small", stream=True)
        assert ended_well(reply, stream=True)
        assert '"arguments":"{\\"x\\":1}"' in reply.text
        assert '"index":0' in reply.text


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_u9_what_belongs_into_the_other_kind_of_reply_is_left_out(
    tmp_path: Path, stream: bool
) -> None:
    said = {"role": "assistant", "content": "sound"}
    async with faulty_gateway(tmp_path) as (gate, behind):
        for junk in (5, "x", [1], {"content": "other"}):
            held = {"delta": said, "message": junk} if stream else {"message": said, "delta": junk}
            choice = {"index": 0, "finish_reason": "stop", **held}
            body = orjson.dumps({"choices": [choice]})
            behind.plays("model-small", sends(b"data: " + body + b"\n\n" if stream else body))
            for model in ("small", "auto:cascade"):
                reply = await gate.ask(model=model, stream=stream)
                assert ended_well(reply, stream=stream)
                assert "sound" in reply.text
                assert "other" not in reply.text
                assert ('"message"' in reply.text) != stream


@pytest.mark.timeout(2 * TINY_S)
async def test_u10_and_u11_take_no_more_memory_than_an_answer_may_have(tmp_path: Path) -> None:
    patient = {"port": 0, "deadline_s": TINY_S}
    async with faulty_gateway(tmp_path, server=patient) as (gate, behind):
        gate.http.timeout = TINY_S
        await gate.ask(model="small", stream=True)
        for how, fault, _ in faults(("U10", "U11")):
            behind.plays("model-small", fault)
            # Live, and held; the client, which is in this process too, would hold tiny events live.
            for model in ("small", "auto:cascade")["tiny" in how :]:
                before_bytes = peak_bytes(afresh=True)
                reply = await gate.ask(model=model, stream=True)
                assert peak_bytes() - before_bytes < RSS_BYTES, (how, model)
                assert ended_well(reply, stream=True) == (model != "small"), (how, reply.text)


async def test_u12_a_redirect_is_not_followed_and_takes_no_key_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", "sk-ours")
    async with faulty_provider() as attacker, faulty_provider() as behind:
        providers = {"scripted": {"base_url": behind.url, "api_key_env": "SCRIPTED_KEY"}}
        async with gateway_before(
            behind,
            tmp_path,
            providers=providers,
            tiers=tiers(),
            passthrough={"embeddings": "scripted"},
        ) as gate:
            for status in (301, 302, 303, 307, 308):
                behind.plays(
                    "model-small", fails(status, f"location: {attacker.url}/chat/completions")
                )
                for stream in (False, True):
                    reply = await gate.ask(model="auto:cascade", stream=stream)
                    assert reply.headers["x-autoshift-tier"] == "medium"
                behind.plays("e", fails(status, f"location: {attacker.url}/embeddings"))
                body = {"model": "e", "input": "x"}
                assert (await gate.http.post("/v1/embeddings", json=body)).status_code == 502
            assert attacker.hops == []


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_u13_a_connection_that_was_closed_meanwhile_costs_a_retry_and_nothing_else(
    tmp_path: Path, stream: bool
) -> None:
    closed = raw(b"", "cut")
    async with faulty_gateway(tmp_path, tiers=tiers(small={"timeouts": PATIENT}), breaker={}) as (
        gate,
        behind,
    ):
        behind.chooses = lambda hop: closed if hop.kept else says()
        for _ in range(20):
            reply = await gate.ask(model="small", stream=stream)
            assert ended_well(reply, stream=stream)
        kept = [hop.kept for hop in behind.hops]
        assert kept.count(False) == 20, "every request got its answer over a new connection"
        assert kept.count(True) > 0
        # Sockets that a restart has closed are not even tried.
        await gate.ask(model="small", stream=stream)
        behind.close_idle()
        assert (await gate.ask(model="small", stream=stream)).status_code == 200


async def test_u13_what_breaks_off_on_a_new_connection_or_late_is_no_stale_one(
    tmp_path: Path,
) -> None:
    async def late(*_: object) -> Any:
        await asyncio.sleep(1.1)
        return "cut"

    patient = tiers(small={"timeouts": PATIENT})
    async with faulty_gateway(tmp_path, tiers=patient) as (gate, behind):
        for fault in (late, raw(b"", "cut")):
            behind.plays("model-small", says(), fault)
            await gate.ask(model="small")
            behind.hops.clear()
            assert (await gate.ask(model="small")).status_code == 502
            assert len(behind.hops) == (1 if fault is late else 2)


@pytest.mark.parametrize("host", ["nowhere.invalid", "[::1]:1", "localhost:1"])
async def test_u15_a_name_that_leads_nowhere_is_a_tier_that_is_down(
    tmp_path: Path, host: str
) -> None:
    async with faulty_provider() as behind:
        providers = {
            "gone": {"base_url": f"http://{host}/v1"},
            "scripted": {"base_url": behind.url},
        }
        changed = tiers(small={"provider": "gone"})
        async with gateway_before(behind, tmp_path, providers=providers, tiers=changed) as gate:
            for stream in (False, True):
                reply = await gate.ask(model="auto:cascade", stream=stream)
                assert reply.headers["x-autoshift-degraded"] == "tier:small"


async def test_u15_a_name_that_leads_where_no_provider_may_be_is_not_asked(tmp_path: Path) -> None:
    async with faulty_provider() as behind:
        place = {"base_url": behind.url.replace("127.0.0.1", "localhost")}
        for addresses, status in (("private", 200), ("public", 502)):
            providers = {"scripted": {**place, "addresses": addresses}}
            store = tmp_path / addresses
            async with gateway_before(behind, store, providers=providers, tiers=tiers()) as gate:
                for stream in (False, True):
                    assert (await gate.ask(model="small", stream=stream)).status_code == status
        assert len(behind.hops) == 2


@pytest.mark.skipif(
    subprocess.run([*UNSHARED, "true"], capture_output=True, check=False).returncode != 0,  # noqa: S603
    reason="a process may have no hosts file of its own here (unshare)",
)
@pytest.mark.parametrize("addresses", ["::1", "::1, and one that is not there"])
async def test_u15_a_name_that_has_an_ipv6_address_is_asked_there(
    tmp_path: Path, addresses: str
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 six.test\n" + "127.0.0.2 six.test\n" * (", and" in addresses))
    async with faulty_provider(host="::1") as behind:
        config = tmp_path / "config.yaml"
        url = behind.url.replace("[::1]", "six.test")
        written = {**configuration(url, tmp_path / "store"), "tiers": tiers()}
        config.write_bytes(orjson.dumps(written))
        mounted = f'mount --bind "{hosts}" /etc/hosts && exec "$@"'
        async with (
            served_with(config, *UNSHARED, "sh", "-c", mounted, "sh") as gate_url,
            httpx.AsyncClient(base_url=gate_url, timeout=15, trust_env=False) as http,
        ):
            for stream in (False, True):
                body = {**chat(), "model": "small", "stream": stream}
                assert (await http.post("/v1/chat/completions", json=body)).status_code == 200
        assert len(behind.hops) == 2


async def test_u14_only_a_certificate_that_is_valid_and_for_this_name_is_accepted(
    tmp_path: Path,
) -> None:
    ours, strangers = trustme.CA(), trustme.CA()
    past = datetime.now(UTC) - timedelta(days=1)
    certificates = {
        "good": ours.issue_cert("127.0.0.1"),
        "expired": ours.issue_cert("127.0.0.1", not_after=past),
        "another-name": ours.issue_cert("example.com"),
        "stranger": strangers.issue_cert("127.0.0.1"),
    }
    trusted = tmp_path / "ca.pem"
    ours.cert_pem.write_to_path(str(trusted))
    async with AsyncExitStack() as stack:
        providers = {}
        for name, certificate in certificates.items():
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(context)
            behind = await stack.enter_async_context(faulty_provider(context))
            providers[name] = {"base_url": behind.url}
        usual = configuration("", tmp_path / "store")
        small = {**usual["tiers"][0], "timeouts": PATIENT}
        written = {
            **usual,
            "providers": providers,
            "tiers": [{**small, "name": name, "provider": name} for name in providers],
        }
        config = tmp_path / "config.yaml"
        config.write_bytes(orjson.dumps(written))
        url = await stack.enter_async_context(served_with(config, SSL_CERT_FILE=str(trusted)))
        async with httpx.AsyncClient(base_url=url, timeout=15, trust_env=False) as http:
            for name in providers:
                for stream in (False, True):
                    body = {**chat(), "model": name, "stream": stream}
                    reply = await http.post("/v1/chat/completions", json=body)
                    if name == "good":
                        assert reply.status_code == 200
                        continue
                    assert reply.status_code == 502, name
                    assert reply.json()["error"]["code"] == "upstream_untrusted", name
            counted = (await http.get("/metrics")).text
            assert metric(counted, "autoshift_upstream_retries_total") == 0


@asynccontextmanager
async def served_with(config: Path, *before: str, **environment: str) -> AsyncGenerator[str, None]:
    """The address of a gateway in a process of its own, begun by a command `before` it."""
    process = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-m", "app.cli", "serve", "--config", str(config)),
        env={**os.environ, **environment},  # noqa: TID251
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(15):
            while not (line := (await process.stderr.readline()).decode()).startswith(LISTENS):
                assert line, "it does not start"
        yield line.removeprefix(LISTENS).split("/v1")[0]
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("how", ["cut", "an error in mid-stream", "left"])
async def test_what_breaks_off_is_paid_for_as_dear_as_it_may_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """I14: nobody knows what an answer cost that began and broke off; so nothing is given back."""
    keys = keys_in(monkeypatch, {"a-1": {"limits": {"usd_per_day": 0.01}}})
    begun = event({"content": "long and dear"})
    failed = b'data: {"error": {"message": "no"}}\n\n'
    acts = {
        "cut": sends(begun, ending="cut"),
        "an error in mid-stream": sends(begun + failed),
        "left": drips(begun, 0.05),
    }
    changed = tiers(small={"timeouts": PATIENT})
    async with faulty_gateway(tmp_path, keys=keys, tiers=changed) as (gate, behind):
        behind.plays("model-small", acts[how])
        asked = []
        # At worst each costs 0.004 USD: two of them are affordable, and a third is not.
        for _ in range(4):
            body = chat(model="small", max_tokens=900, stream=True)
            async with gate.http.stream(
                "POST", "/v1/chat/completions", json=body, headers=bearer("a-1")
            ) as reply:
                asked.append(reply.status_code)
                if how == "left" and reply.status_code == 200:
                    await anext(reply.aiter_bytes())
                else:
                    await reply.aread()
        held = chat(model="auto:cascade", max_tokens=900, stream=True)
        reply = await gate.http.post("/v1/chat/completions", json=held, headers=bearer("a-1"))
        assert reply.status_code == 429
        assert (asked.count(429), len(behind.asked())) == (2, 2)


async def test_an_answer_that_began_and_was_held_has_cost_nobody_knows_what(tmp_path: Path) -> None:
    begun = event({"content": "long and dear"})
    failed = b'data: {"error": {"message": "no"}}\n\n'
    async with faulty_gateway(tmp_path, tiers=tiers(small={"timeouts": PATIENT})) as (gate, behind):
        for acts, cost_usd in (
            (sends(begun, ending="cut"), None),
            (sends(begun + failed), None),
            (sends(failed), 0.0),
            (fails(500), 0.0),
        ):
            behind.plays("model-small", acts)
            told = await gate.decision_of(await gate.ask(model="auto:cascade", stream=True))
            assert told["attempts"][0]["cost_usd"] == cost_usd


async def test_tiny_events_that_come_together_let_others_have_their_turn() -> None:
    events = [event({"content": "x"}) for _ in range(20_000)]
    async with faulty_provider() as behind:
        behind.plays("model-small", sends(b"".join(events) + event({}, finish="stop")))
        tier = Tier(name="small", provider="scripted", model="model-small", prior=0.5)
        async with plain_exchange(behind.url, [tier]) as exchange:
            turns, at_once, most = 0, 0, 0

            async def others() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            async with asyncio.TaskGroup() as tasks:
                other, seen = tasks.create_task(others()), 0
                async for _ in exchange.complete(tier, {"messages": [], "stream": True}):
                    at_once = at_once + 1 if turns == seen else 1
                    seen, most = turns, max(most, at_once)
                other.cancel()
    assert 1 < most <= 500
