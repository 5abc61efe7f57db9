"""Streams: held until judged, or live from the last tier; what clients get either way."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import orjson
import pytest

from tests.support.faulty_gateway import QUICK
from tests.support.gateway import (
    DEADLINE_S,
    Gateway,
    chat,
    configuration,
    gateway,
    metric,
    until,
)
from tests.support.provider import INVALID, VALID, Fails, Hangs, Says, Sends

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]
PIECES = ("Two ", "and two", " make", " four.")
USAGE = {"include_usage": True}


def events(text: str) -> list[Json]:
    """The chunks of a whole stream; it must end with `[DONE]`."""
    assert text.endswith("data: [DONE]\n\n")
    return chunks(text.removesuffix("data: [DONE]\n\n"))


def chunks(text: str) -> list[Json]:
    """The chunks in this text, comments left out."""
    lines = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def contents(events: Sequence[Json]) -> list[str]:
    """The content of the chunks that have some."""
    deltas = [choice["delta"] for event in events for choice in event.get("choices", [])]
    return [delta["content"] for delta in deltas if delta.get("content")]


def finishes(events: Sequence[Json]) -> list[Json]:
    return [e for e in events if any(c["finish_reason"] for c in e.get("choices", []))]


@asynccontextmanager
async def streaming(
    gate: Gateway, headers: dict[str, str] | None = None, **more: Any
) -> AsyncGenerator[httpx.Response, None]:
    """A reply whose body is still to be read."""
    request = chat(**{"stream": True, **more})
    async with gate.http.stream(
        "POST", "/v1/chat/completions", json=request, headers=headers
    ) as reply:
        yield reply


async def read_until(lines: AsyncGenerator[str, None], wanted: str) -> str:
    """Read on to the first line that contains this."""
    async with asyncio.timeout(DEADLINE_S):
        async for line in lines:
            if wanted in line:
                return line
    raise AssertionError(f"the stream ended without {wanted!r}")


def lines_of(reply: httpx.Response) -> AsyncGenerator[str, None]:
    lines = reply.aiter_lines()
    assert isinstance(lines, AsyncGenerator)
    return lines


@pytest.mark.parametrize("model", ["auto", "large"], ids=["held", "live"])
@pytest.mark.parametrize("asked", [True, False], ids=["with usage", "without usage"])
async def test_a_stream_is_framed_as_clients_need_it(
    tmp_path: Path, model: str, asked: bool
) -> None:
    async with gateway(tmp_path) as gate:
        for name in ("model-small", "model-large"):
            gate.provider.answers(name, Says(pieces=PIECES))
        reply = await gate.ask(model=model, stream=True, stream_options=USAGE if asked else None)
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-cache"
        assert "content-length" not in reply.headers
        told = events(reply.text)
        # The provider's own chunk boundaries, whether replayed or live.
        assert contents(told) == list(PIECES)
        assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        roles = [c["delta"] for e in told for c in e["choices"] if "role" in c["delta"]]
        assert len(roles) == 1
        for name in ("id", "created", "model", "object"):
            assert len({event[name] for event in told}) == 1, name
        assert told[0]["object"] == "chat.completion.chunk"
        assert told[0]["model"] in {"model-small-2026", "model-large-2026"}
        (finish,) = finishes(told)
        assert finish["choices"][0]["delta"] == {}
        assert finish["choices"][0]["finish_reason"] == "stop"
        usages = [event for event in told if event.get("usage")]
        assert len(usages) == asked
        assert told[-1] == (usages[0] if asked else finish)
        assert all(event["choices"] == [] for event in usages)


@pytest.mark.parametrize("model", ["auto", "large"], ids=["held", "live"])
async def test_the_finish_chunk_tells_the_decision_and_it_can_be_read(
    tmp_path: Path, model: str
) -> None:
    async with gateway(tmp_path) as gate:
        (finish,) = finishes(events((await gate.ask(model=model, stream=True)).text))
        told = finish["autoshift"]
        assert told["tier"] == ("small" if model == "auto" else "large")
        assert told["verified"] is (model == "auto")
        assert told["degraded"] == []
        decision = await gate.decision(told["decision"])
        assert decision["outcome"] == "answered"
        assert decision["cost_usd"] == pytest.approx(told["cost_usd"])
        assert decision["served_tier"] == told["tier"]


async def test_a_held_stream_tells_the_decision_in_its_headers_too(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        reply = await gate.ask(stream=True)
        assert reply.headers["x-autoshift-tier"] == "small"
        assert reply.headers["x-autoshift-verified"] == "yes"
        assert (await gate.decision_of(reply))["served_tier"] == "small"


async def test_the_last_tier_streams_while_it_still_speaks(tmp_path: Path) -> None:
    gate_open = asyncio.Event()
    async with gateway(tmp_path) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        gate.provider.answers("model-large", Says(pieces=PIECES, gate=gate_open))
        async with streaming(gate) as reply, aclosing(lines_of(reply)) as lines:
            first = await read_until(lines, PIECES[0])
            assert PIECES[1] not in first
            assert gate.provider.open == 1
            gate_open.set()
            await read_until(lines, "[DONE]")


async def test_a_lower_tier_is_not_heard_before_it_is_judged(tmp_path: Path) -> None:
    async with gateway(tmp_path, server={"hold_s": 0.1}) as gate:
        gate.provider.verdicts("model-medium", Says(VALID.text, delay_s=0.5))
        async with streaming(gate) as reply:
            await until(lambda: gate.provider.asked(judging=True) == ["model-medium"])
            received = "".join([part async for part in reply.aiter_text()])
        assert gate.provider.open == 0
        told = events(received)
        assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert contents(told) == ["ok"]


@pytest.mark.parametrize("refused", [["small"], ["small", "medium"]], ids=["one", "two"])
async def test_nothing_of_a_refused_answer_reaches_the_client(
    tmp_path: Path, refused: list[str]
) -> None:
    verdicts = [*[INVALID] * len(refused), VALID]
    async with gateway(tmp_path, server={"hold_s": 0.05}) as gate:
        gate.provider.verdicts("model-medium", *verdicts)
        for name in ("small", "medium", "large"):
            pieces = [f"words of {name}", f" from {name}"]
            gate.provider.answers(f"model-{name}", Says(pieces=pieces, delay_s=0.05))
        async with streaming(gate) as reply:
            received = "".join([part async for part in reply.aiter_text()])
        served = "medium" if refused == ["small"] else "large"
        assert contents(events(received)) == [f"words of {served}", f" from {served}"]
        for name in refused:
            for secret in (f"words of {name}", f"from {name}", f"model-{name}"):
                assert secret not in received


async def test_quality_escalation_only_goes_up(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        for policy in ("llm_at", "cascade", "random", "always:small", "always:medium"):
            for stream in (False, True):
                gate.provider.calls.clear()
                await gate.ask(model=f"auto:{policy}", stream=stream, autoshift={"learn": False})
                asked = gate.provider.asked()
                assert asked == sorted(set(asked), key=_height)


def _height(model: str) -> int:
    return ["model-small", "model-medium", "model-large"].index(model)


async def test_the_status_line_waits_no_longer_than_hold_s(tmp_path: Path) -> None:
    gate_open = asyncio.Event()
    async with gateway(tmp_path, server={"hold_s": 0.3}) as gate:
        gate.provider.answers("model-small", Says(pieces=PIECES, gate=gate_open))
        started_s = asyncio.get_running_loop().time()
        async with streaming(gate) as reply, aclosing(lines_of(reply)) as lines:
            assert asyncio.get_running_loop().time() - started_s >= 0.3
            assert reply.status_code == 200
            first = json.loads((await read_until(lines, "data:")).removeprefix("data: "))
            assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
            assert gate.provider.open == 1
            gate_open.set()
            rest = [line async for line in lines if line]
        told = [json.loads(line.removeprefix("data: ")) for line in rest[:-1]]
        assert rest[-1] == "data: [DONE]"
        assert contents(told) == list(PIECES)
        assert not any("role" in c["delta"] for e in told for c in e["choices"])


async def test_a_silent_stream_is_kept_alive(tmp_path: Path) -> None:
    gate_open = asyncio.Event()
    patience = {"x-stainless-read-timeout": "0.2"}
    async with gateway(tmp_path, server={"hold_s": 0.05}) as gate:
        gate.provider.answers("model-small", Says(pieces=PIECES, gate=gate_open))
        async with streaming(gate, patience) as reply, aclosing(lines_of(reply)) as lines:
            await read_until(lines, '"role"')
            for _ in range(3):
                await read_until(lines, ": keep-alive")
            empty = json.loads((await read_until(lines, "data:")).removeprefix("data: "))
            assert empty["choices"] == [
                {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
            ]
            gate_open.set()
            await read_until(lines, "[DONE]")


async def test_before_the_first_event_an_error_is_a_status_and_after_it_an_event_without_done(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path / "a") as gate:
        for name in ("small", "medium", "large"):
            gate.provider.answers(f"model-{name}", Fails(500))
        reply = await gate.ask(stream=True)
        assert reply.status_code == 502
        assert reply.headers["content-type"] == "application/json"
        assert reply.json()["error"]["type"] == "upstream_error"
    small, *others = configuration("", tmp_path)["tiers"]
    small["timeouts"] = QUICK
    server = {"hold_s": 0.1}
    async with gateway(tmp_path / "b", server=server, tiers=[small, *others]) as gate:
        gate.provider.answers("model-small", Hangs())
        for name in ("medium", "large"):
            gate.provider.answers(f"model-{name}", Fails(500))
        reply = await gate.ask(stream=True)
        assert reply.status_code == 200
        assert "[DONE]" not in reply.text
        *earlier, last = chunks(reply.text)
        assert contents(earlier) == []
        assert finishes(earlier) == []
        assert last["error"]["code"] == "upstream_failed"
        assert set(last["error"]) == {"message", "type", "param", "code"}


BROKEN: dict[str, Says | Sends] = {
    "no finish reason": Says(pieces=PIECES, finish=None),
    "connection cut": Sends(b"", cut=True),
    "garbage": Sends(b"data: {nonsense\n\n"),
    "an error in mid-stream": Sends(b'data: {"error": {"message": "no"}}\n\n'),
    "nothing but the end": Sends(b"data: [DONE]\n\n"),
}


def begun(reply: Says | Sends) -> Says | Sends:
    """The same, after a first piece of an answer."""
    if isinstance(reply, Says):
        return reply
    return Sends(_event({"content": PIECES[0]}) + reply.body, cut=reply.cut)


def _event(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "x", "object": "x", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + orjson.dumps(data) + b"\n\n"


async def test_a_live_stream_that_breaks_ends_with_an_error_and_without_done(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        for how, broken in BROKEN.items():
            gate.provider.calls.clear()
            gate.provider.answers("model-large", begun(broken))
            reply = await gate.ask(model="auto:always:large", stream=True)
            assert reply.status_code == 200, how
            assert "[DONE]" not in reply.text, how
            *earlier, last = chunks(reply.text)
            assert contents(earlier)[0] == PIECES[0], how
            assert finishes(earlier) == [], how
            assert last["error"]["type"] == "upstream_error", how
            assert gate.provider.asked() == ["model-large"], how
            told = await gate.decision(reply.headers["x-request-id"])
            assert told["outcome"] == "failed", how
            assert [attempt["outcome"] for attempt in told["attempts"]] == ["failed"], how


async def test_a_stream_that_breaks_at_a_lower_tier_is_never_seen(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-medium", Says("whole"))
        for how, broken in BROKEN.items():
            gate.provider.answers("model-small", begun(broken))
            told = events((await gate.ask(model="auto:cascade", stream=True)).text)
            assert contents(told) == ["whole"], how
            (finish,) = finishes(told)
            assert finish["autoshift"]["degraded"] == ["tier:small"], how
            decision = await gate.decision(finish["autoshift"]["decision"])
            assert [a["arrived"] for a in decision["attempts"]] == ["direct", "after_failure"], how


SPOKEN = (
    _event({"role": "assistant", "content": ""})
    + _event({"content": "Zwei\u2028, 二"})
    + _event({}, "stop")
    + b"data: [DONE]\n\n"
)


WAYS = {
    "crlf": SPOKEN.replace(b"\n", b"\r\n"),
    "no space": SPOKEN.replace(b"data: ", b"data:"),
    "several lines": SPOKEN.replace(b'"choices"', b'\ndata: "choices"'),
    "byte-order mark": b"\xef\xbb\xbf" + SPOKEN,
    "no last blank line": SPOKEN.removesuffix(b"\n\n"),
    "no done": SPOKEN.removesuffix(b"data: [DONE]\n\n"),
    "more after done": SPOKEN + b"data: garbage after the end\n\n",
    "a chunk after the finish chunk": SPOKEN.replace(
        b"data: [DONE]", _event({"role": "assistant", "content": ""}).strip()
    ),
    "two finish chunks": SPOKEN.replace(b"data: [DONE]", _event({}, "stop").strip()),
    "comment and other fields": b": hello\n\nevent: x\nid: 7\n" + SPOKEN,
}


@pytest.mark.parametrize("model", ["auto:cascade", "large"], ids=["held", "live"])
async def test_every_way_to_write_events_is_read_and_one_is_written(
    tmp_path: Path, model: str
) -> None:
    async with gateway(tmp_path) as gate:
        for way, spoken in WAYS.items():
            for name in ("model-small", "model-large"):
                gate.provider.answers(name, Sends(spoken))
            told = events((await gate.ask(model=model, stream=True)).text)
            assert contents(told) == ["Zwei\u2028, 二"], way
            assert [f["choices"][0]["finish_reason"] for f in finishes(told)] == ["stop"], way
            assert "autoshift" in told[-1], way


async def test_line_separators_of_unicode_are_escaped(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-large", Says("a\u2028b\u2029c\x85d"))
        reply = await gate.ask(model="large", stream=True)
        assert contents(events(reply.text)) == ["a\u2028b\u2029c\x85d"]
        assert len(reply.text.splitlines()) == len(reply.text.split("\n")) - 1


LOOK_UP = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "required": ["word"]}},
}


@pytest.mark.parametrize("model", ["auto", "large"], ids=["held", "live"])
async def test_tool_calls_pass_with_their_id_and_name_once(tmp_path: Path, model: str) -> None:
    def delta(arguments: str) -> Json:
        function = {"name": "look_up", "arguments": arguments}
        return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}

    spoken = b"".join(
        [_event(delta('{"word"')), _event(delta(': "tier"}')), _event({}, "tool_calls")]
    )
    async with gateway(tmp_path) as gate:
        for name in ("model-small", "model-large"):
            gate.provider.answers(name, Sends(spoken))
        told = events((await gate.ask(model=model, stream=True, tools=[LOOK_UP])).text)
        deltas = [choice["delta"] for event in told for choice in event["choices"]]
        pieces = [call for delta in deltas for call in delta.get("tool_calls", [])]
        assert [piece["function"]["arguments"] for piece in pieces] == ['{"word"', ': "tier"}']
        assert [piece["index"] for piece in pieces] == [0, 0]
        assert (pieces[0]["id"], pieces[0]["function"]["name"]) == ("c1", "look_up")
        assert "id" not in pieces[1]
        assert "name" not in pieces[1]["function"]
        (finish,) = finishes(told)
        assert finish["choices"][0]["finish_reason"] == "tool_calls"
        assert finish["autoshift"]["tier"] == ("small" if model == "auto" else "large")


async def test_several_choices_have_a_role_and_a_finish_chunk_each(tmp_path: Path) -> None:
    def choice(index: int, delta: Json, finish: str | None = None) -> bytes:
        return _event({}, choices=[{"index": index, "delta": delta, "finish_reason": finish}])

    spoken = [choice(i, {"role": "assistant", "content": f"{i}"}) for i in (0, 1)]
    spoken += [choice(i, {}, "stop") for i in (0, 1)]
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Sends(b"".join(spoken)))
        told = events((await gate.ask(stream=True, n=2)).text)
        assert contents(told) == ["0", "1"]
        assert [finish["choices"][0]["index"] for finish in finishes(told)] == [0, 1]
        assert ["autoshift" in event for event in told].count(True) == 1
        assert gate.provider.asked(judging=True) == []


async def test_every_accepted_request_leaves_exactly_one_record(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for reply, model, outcome in (
            (Says(), "auto:cascade", "answered"),
            (Says(), "small", "answered"),
            (Fails(500), "small", "failed"),
            (Sends(b"nonsense"), "small", "failed"),
        ):
            gate.provider.answers("model-small", reply)
            for stream in (False, True):
                before = await _records(gate)
                answered = await gate.ask(model=model, stream=stream)
                told = await gate.decision(answered.headers["x-request-id"])
                assert told["outcome"] == outcome
                assert told["stream"] is stream
                assert await _records(gate) == before + 1
        assert (await gate.ask(model="nobody")).status_code == 404
        assert await _records(gate) == 8


async def _records(gate: Gateway) -> float:
    text = (await gate.http.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("autoshift_requests_total{")]
    assert metric(text, "autoshift_requests_total", outcome="abandoned") == 0
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_a_stream_outlasts_its_clients_patience_because_it_is_never_silent_so_long(
    tmp_path: Path,
) -> None:
    gate_open = asyncio.Event()
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Says(pieces=PIECES, gate=gate_open))
        body = chat(stream=True)
        patience = {"x-stainless-read-timeout": "0.4"}
        async with gate.http.stream(
            "POST", "/v1/chat/completions", json=body, headers=patience, timeout=0.4
        ) as reply:
            lines = [line async for line in _opened_later(reply, gate_open, after_comments=3)]
        assert lines[-1] == "data: [DONE]"
        assert reply.status_code == 200


async def _opened_later(
    reply: httpx.Response, gate_open: asyncio.Event, *, after_comments: int
) -> AsyncGenerator[str, None]:
    comments = 0
    async for line in reply.aiter_lines():
        comments += line.startswith(":")
        if comments == after_comments:
            gate_open.set()
        if line:
            yield line


async def test_what_providers_pad_their_chunks_with_is_not_passed_on(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        padded = Says(pieces=PIECES, extra={"obfuscation": "xYzXyZ", "service_tier": "default"})
        gate.provider.answers("model-small", padded)
        told = events((await gate.ask(stream=True)).text)
        assert not any("obfuscation" in event for event in told)
        assert all(event["service_tier"] == "default" for event in told if event["choices"])
