"""Requests that are wrong: each gets its status in the one envelope, and none does harm."""

import asyncio
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from tests.support.gateway import Gateway, chat, configuration, gateway, metric
from tests.support.provider import Says

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]
CHAT = "/v1/chat/completions"
MIB = 1024 * 1024

CALLED: Json = {"role": "assistant", "content": None}

BODIES: list[tuple[object, int, str, str | None]] = [
    ({}, 400, "missing_required_parameter", "model"),
    ({"model": "auto"}, 400, "missing_required_parameter", "messages"),
    (chat(model=None), 400, "missing_required_parameter", "model"),
    (chat(model=7), 400, "invalid_type", "model"),
    (chat(model="gpt-9"), 404, "model_not_found", "model"),
    (chat(model=""), 404, "model_not_found", "model"),
    (chat(model="auto:nothing"), 404, "model_not_found", "model"),
    (chat(model="x" * 10_000), 404, "model_not_found", "model"),
    (chat(messages=[]), 400, "invalid_value", "messages"),
    (chat(messages="hello"), 400, "invalid_type", "messages"),
    (chat(messages={}), 400, "invalid_type", "messages"),
    (chat(messages=["hello"]), 400, "invalid_type", "messages[0]"),
    (chat(messages=[{"content": "hello"}]), 400, "invalid_value", "messages[0].role"),
    (chat(messages=[{"role": "king"}]), 400, "invalid_value", "messages[0].role"),
    (chat(messages=[{"role": ["user"]}]), 400, "invalid_value", "messages[0].role"),
    (chat(messages=[{"role": "user", "content": 7}]), 400, "invalid_type", "messages[0].content"),
    (chat(messages=[{"role": "user", "content": {}}]), 400, "invalid_type", "messages[0].content"),
    (chat(messages=[CALLED | {"tool_calls": 7}]), 400, "invalid_type", "messages[0].tool_calls"),
    (chat(messages=[CALLED | {"tool_calls": [7]}]), 400, "invalid_type", "messages[0].tool_calls"),
    (chat(stream="yes"), 400, "invalid_type", "stream"),
    (chat(stream=True, stream_options=[1]), 400, "invalid_type", "stream_options"),
    (chat(n=0), 400, "invalid_value", "n"),
    (chat(n="2"), 400, "invalid_type", "n"),
    (chat(n=True), 400, "invalid_type", "n"),
    (chat(n=10**30), 400, "invalid_value", "n"),
    (chat(max_tokens=10**19), 400, "invalid_value", "max_tokens"),
    (chat(max_completion_tokens=10**300), 400, "invalid_value", "max_completion_tokens"),
    (chat(max_tokens=-1), 400, "invalid_value", "max_tokens"),
    (chat(max_completion_tokens=1.5), 400, "invalid_type", "max_completion_tokens"),
    (chat(tools={}), 400, "invalid_type", "tools"),
    (chat(logit_bias=[]), 400, "invalid_type", "logit_bias"),
    (chat(response_format="json"), 400, "invalid_type", "response_format"),
    (chat(response_format={"type": "xml"}), 400, "invalid_value", "response_format.type"),
    (chat(response_format={"type": ["text"]}), 400, "invalid_value", "response_format.type"),
    (chat(autoshift="fast"), 400, "invalid_type", "autoshift"),
    (chat(autoshift={"polciy": "x"}), 400, "invalid_value", "autoshift.polciy"),
    (chat(autoshift={"policy": 7}), 400, "invalid_type", "autoshift.policy"),
    (chat(autoshift={"policy": "x"}), 404, "model_not_found", None),
    (chat(autoshift={"learn": "maybe"}), 400, "invalid_type", "autoshift.learn"),
    (chat(autoshift={"stream": ["x"]}), 400, "invalid_value", "autoshift.stream"),
    (chat(autoshift={"dry_run": "maybe"}), 400, "invalid_type", "autoshift.dry_run"),
    ([], 400, "invalid_json", None),
    ("auto", 400, "invalid_json", None),
    (None, 400, "invalid_json", None),
    (7, 400, "invalid_json", None),
]

NOT_JSON = {
    "nothing": b"",
    "words": b"hello",
    "a form": b"model=auto",
    "half": b'{"model": "auto"',
    "trailing comma": b'{"model": "auto",}',
    "more after the end": b'{"model": "auto"} {}',
    "NaN": b'{"model": "auto", "temperature": NaN}',
    "Infinity": b'{"model": "auto", "temperature": -Infinity}',
    "a lone surrogate": b'{"model": "auto", "user": "\\ud800"}',
    "not UTF-8": b'{"model": "auto", "user": "\xff\xfe"}',
    "UTF-16": '{"model": "auto"}'.encode("utf-16"),
    "a byte-order mark": b'\xef\xbb\xbf{"model": "auto"}',
    "deep arrays": b'{"model": "auto", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"model": "auto", "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "unclosed": b"[" * 100_000,
    "deeper than 128": b'{"model": "auto", "x": ' + b"[" * 200 + b"]" * 200 + b"}",
    "a NUL": b'{"model": "auto\x00"}',
}

ODD = {
    "5,000 digits": '"seed": ' + "9" * 5000,
    "5,000 digits after the point": '"temperature": 0.' + "1" * 5000,
    "a huge exponent": '"temperature": 1e400',
    "a tiny exponent": '"temperature": 1e-400',
    "the same key twice": '"user": "a", "user": "b"',
    "an empty key": '"": 1',
    "NUL in a string": '"user": "a\\u0000b"',
    "128 tools": '"tools": [' + ", ".join(['{"type": "function"}'] * 128) + "]",
    "tools that are nothing": '"tools": [null, 1, "x", [], {}]',
    "tools without functions": '"tools": [{"function": 7}, {"function": {"name": [1]}}]',
    "a tool choice of another type": '"tool_choice": 7',
    "a tool choice of another shape": '"tool_choice": {"function": "f"}',
    "a schema that is none": '"response_format": {"type": "json_schema", "json_schema": 7}',
    "a schema of a wrong kind": (
        '"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 7}}}'
    ),
    "a schema with long numbers": (
        '"response_format": {"type": "json_schema", "json_schema": {"schema": '
        '{"properties": {"x": {"maximum": 0.1234567890123456789012345}}}}}'
    ),
    "functions": '"functions": 7',
    "audio": '"audio": 7',
    "logprobs": '"logprobs": "yes"',
    "stop": '"stop": {"a": 1}',
}

MESSAGES: dict[str, list[Json]] = {
    "no content": [{"role": "user"}],
    "null content": [{"role": "user", "content": None}],
    "empty content": [{"role": "user", "content": ""}],
    "no parts": [{"role": "user", "content": []}],
    "odd parts": [{"role": "user", "content": [None, 1, "x", {}, {"type": 7, "text": 7}]}],
    "odd part types": [{"role": "user", "content": [{"type": ["text"]}, {"type": {}}]}],
    "no user": [{"role": "system", "content": "be nice"}],
    "only an assistant": [{"role": "assistant", "content": "hello"}],
    "empty tool calls": [CALLED | {"tool_calls": [{}]}, {"role": "tool", "content": "x"}],
    "a tool's result": [{"role": "tool", "content": "x", "tool_call_id": 7}],
    "zero width": [{"role": "user", "content": "\u200b\u200d\ufeff"}],
    "right to left": [{"role": "user", "content": "\u202eabc"}],
    "emoji": [{"role": "user", "content": "👩‍👩‍👧‍👦" * 1000}],
    "many": [{"role": "user", "content": "x"}] * 1000,
}

OPTIONAL = (
    *("stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "tools"),
    *("tool_choice", "response_format", "logit_bias", "temperature", "top_p", "stop", "user"),
    *("seed", "audio", "modalities", "logprobs", "functions", "store", "metadata", "autoshift"),
)


def error_of(reply: httpx.Response) -> Json:
    """The error in the envelope, which has to be whole."""
    assert reply.headers["content-type"] == "application/json", reply.text[:200]
    assert "detail" not in reply.json()
    error: Json = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert 0 < len(error["message"]) < 600
    assert "\n" not in error["message"]
    assert isinstance(error["code"], str)
    return error


async def post(gate: Gateway, body: bytes, **headers: str) -> httpx.Response:
    usual = {"content-type": "application/json"}
    return await gate.http.post(CHAT, content=body, headers={**usual, **headers})


async def test_a_wrong_request_is_told_which_parameter_is_wrong(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for body, status, code, param in BODIES:
            reply = await post(gate, json.dumps(body).encode())
            shown = json.dumps(body)[:200]
            assert reply.status_code == status, shown
            error = error_of(reply)
            assert error["type"] == "invalid_request_error", shown
            assert error["code"] == code, shown
            assert param is None or error["param"] == param, shown
            assert reply.headers["x-request-id"], shown
        assert gate.provider.calls == []
        assert (await gate.ask()).status_code == 200


async def test_what_is_not_json_is_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for what, body in NOT_JSON.items():
            started_s = asyncio.get_running_loop().time()
            reply = await post(gate, body)
            assert reply.status_code == 400, what
            assert error_of(reply)["code"] == "invalid_json", what
            assert asyncio.get_running_loop().time() - started_s < 1, what
        assert gate.provider.calls == []


async def test_odd_requests_are_served_or_refused_but_never_an_error_of_ours(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}
        for says in (Says("{}"), Says("", tool_calls=[call], finish="tool_calls")):
            for name in ("model-small", "model-medium", "model-large"):
                gate.provider.answers(name, says)
            for what, odd in ODD.items():
                head = '{"model": "auto:cascade", "messages": [{"role": "user", "content": "x"}], '
                for stream in ("", ', "stream": true'):
                    reply = await post(gate, f"{head}{odd}{stream}}}".encode())
                    assert reply.status_code in {200, 400}, (what, reply.text[:300])
                    assert "internal_error" not in reply.text, what
        for what, messages in MESSAGES.items():
            reply = await gate.ask(model="auto", messages=messages)
            assert reply.status_code in {200, 400}, (what, reply.text[:300])
            told = await gate.decision(reply.headers["x-request-id"])
            assert told["outcome"] == "answered", what


async def test_optional_fields_may_be_null(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for names in (OPTIONAL, *((name,) for name in OPTIONAL)):
            nulls: dict[str, Any] = dict.fromkeys(names)
            assert (await gate.ask(**nulls)).status_code == 200, names


async def test_a_body_that_is_too_large_is_refused_without_reading_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        piece = b" " * 65536
        sent_bytes = 0

        async def endless() -> Any:
            nonlocal sent_bytes
            while sent_bytes < 40 * MIB:
                sent_bytes += len(piece)
                yield piece

        declared = {"content-length": str(40 * MIB)}
        for headers in (declared, {}):
            sent_bytes = 0
            reply = await _upload(gate, endless(), headers)
            assert reply.status_code == 413, reply.text
            error = error_of(reply)
            assert error["code"] == "request_too_large"
            assert "32 MiB" in error["message"]
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
        assert grown_kib < 80 * 1024
        assert (await gate.ask()).status_code == 200


async def _upload(gate: Gateway, body: Any, headers: dict[str, str]) -> httpx.Response:
    usual = {"content-type": "application/json"}
    return await gate.http.post(CHAT, content=body, headers={**usual, **headers})


# aiohttp warns of writing more than 1 MiB at once; nobody sees it outside of tests.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_a_large_body_within_the_limit_is_served(tmp_path: Path) -> None:
    async with gateway(tmp_path, server={"body_bytes": 2 * MIB}) as gate:
        assert (await gate.ask("x" * MIB)).status_code == 200
        assert (await gate.ask("x" * 2 * MIB)).status_code == 413


async def test_other_media_types_are_refused(tmp_path: Path) -> None:
    body = json.dumps(chat()).encode()
    async with gateway(tmp_path) as gate:
        for given in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            reply = await post(gate, body, **{"content-type": given})
            assert reply.status_code == 415
            assert error_of(reply)["code"] == "unsupported_media_type"
        reply = await post(gate, body, **{"content-encoding": "gzip"})
        assert reply.status_code == 415
        for given in ("application/json; charset=utf-8", "Application/JSON"):
            assert (await post(gate, body, **{"content-type": given})).status_code == 200
        bare = await gate.http.post(CHAT, content=body)
        assert bare.status_code == 200


NO_ID = "0199f0a1-7c3e-7a6b-8c1d-0123456789ab"
PATHS: list[tuple[str, str, int, str]] = [
    ("GET", "/v1/nothing", 404, "unsupported_endpoint"),
    ("GET", "/", 404, "unsupported_endpoint"),
    ("GET", "/v1", 404, "unsupported_endpoint"),
    ("GET", "//", 404, "unsupported_endpoint"),
    ("GET", "/docs", 404, "unsupported_endpoint"),
    ("POST", "/v1/embeddings", 404, "unsupported_endpoint"),
    ("POST", "/v1/responses", 404, "unsupported_endpoint"),
    ("GET", "/v1/chat/completions/chatcmpl-1", 404, "unsupported_endpoint"),
    ("GET", "/v1/../etc/passwd", 404, "unsupported_endpoint"),
    ("GET", "/v1/%2e%2e/%00", 404, "unsupported_endpoint"),
    ("GET", CHAT, 405, "method_not_allowed"),
    ("PUT", CHAT, 405, "method_not_allowed"),
    ("DELETE", CHAT, 405, "method_not_allowed"),
    ("OPTIONS", CHAT, 405, "method_not_allowed"),
    ("POST", "/v1/models", 405, "method_not_allowed"),
    ("POST", "/healthz", 405, "method_not_allowed"),
    ("GET", "/v1/models/unknown", 404, "model_not_found"),
    ("GET", "/v1/models/a/b:c", 404, "model_not_found"),
    ("GET", "/v1/models/%00%ff", 404, "model_not_found"),
    ("GET", f"/v1/decisions/{NO_ID}", 404, "not_found"),
    ("GET", f"/v1/decisions/{NO_ID.upper()}", 404, "not_found"),
    ("GET", "/v1/decisions/nonsense", 404, "not_found"),
    ("GET", "/v1/decisions/%00", 404, "not_found"),
    ("GET", "/v1/decisions/%ff%fe", 404, "not_found"),
    ("GET", "/v1/decisions/' OR 1=1 --", 404, "not_found"),
    ("GET", "/v1/decisions/" + "9" * 5000, 404, "not_found"),
    ("GET", "/v1/decisions/-1", 404, "not_found"),
    ("GET", "/v1/decisions", 404, "unsupported_endpoint"),
    ("DELETE", f"/v1/decisions/{NO_ID}", 405, "method_not_allowed"),
]


async def test_every_wrong_path_and_method_is_told_in_the_envelope(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for method, path, status, code in PATHS:
            reply = await gate.http.request(method, f"{gate.url}{path}")
            assert reply.status_code == status, (method, path)
            error = error_of(reply)
            assert error["code"] == code, (method, path)
            assert error["type"] == "invalid_request_error", (method, path)


async def test_every_spelling_of_a_path_is_served(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for path in (CHAT, f"{CHAT}/", "/chat/completions", "/chat/completions/"):
            reply = await gate.http.post(path, json=chat())
            assert reply.status_code == 200, path
            assert reply.history == [], path
        for path in ("/v1/models", "/models/", "/v1/models/auto", "/models/model-small"):
            assert (await gate.http.get(path)).status_code == 200, path


async def test_the_models_are_listed_as_openai_does(tmp_path: Path) -> None:
    slashed = configuration("", Path())["tiers"]
    slashed[0]["model"] = "vendor/model:8b"
    async with gateway(tmp_path, tiers=slashed, aliases={"gpt-4o": "auto"}) as gate:
        listed = (await gate.http.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert all(set(m) == {"id", "object", "created", "owned_by"} for m in listed["data"])
        names = [model["id"] for model in listed["data"]]
        assert names[0] == "auto"
        assert {"auto:llm_at", "small", "vendor/model:8b", "gpt-4o"} <= set(names)
        for name in names:
            model = (await gate.http.get(f"/v1/models/{name}")).json()
            assert (model["id"], model["object"]) == (name, "model")
            assert (await gate.ask(model=name)).status_code == 200, name


async def test_odd_headers_do_no_harm(tmp_path: Path) -> None:
    odd = [
        {"x-stainless-read-timeout": "soon"},
        {"x-stainless-read-timeout": "nan"},
        {"x-stainless-read-timeout": "-1"},
        {"x-stainless-timeout": "inf"},
        {"x-autoshift-task": "\xe9" * 100},
        {"x-request-id": "mine"},
        {"accept": "text/html"},
        {"expect": "100-continue"},
    ]
    async with gateway(tmp_path) as gate:
        for headers in odd:
            raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
            reply = await gate.http.post(CHAT, json=chat(), headers=raw)
            assert reply.status_code == 200, headers
            assert reply.headers["x-request-id"] != "mine"


RAW = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a length that is none": b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n{}",
    "a negative length": b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}",
    "a huge length": b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 40 + b"\r\n\r\n",
    "two lengths": (
        b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"
    ),
    "bad chunks": b"POST %s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
}


async def test_bytes_that_are_no_request_do_no_harm(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        host, port = gate.url.removeprefix("http://").split(":")
        for what, sent in RAW.items():
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent.replace(b"%s", CHAT.encode()))
            if b"HTTP" not in sent:
                writer.write_eof()
            async with asyncio.timeout(3):
                status = (await reader.readline()).split(b" ")
            assert status == [b""] or status[1][:1] == b"4", (what, status)
            writer.close()
        assert (await gate.ask()).status_code == 200
        text = (await gate.http.get("/metrics")).text
        assert metric(text, "autoshift_requests_total", outcome="answered") == 1


JUNK: list[Any] = [5, True, "x", [1], [[]], {"a": [1]}, None, 1e300]
PARTS = ("text", "image_url", "file", "input_audio", "refusal")
INSIDE = ("url", "file_id", "data", "file_data", "format", "detail")
OURS = ("task", "conversation", "policy", "learn", "explore", "stream", "max_cost_usd")
FIELDS = (
    *("stop", "seed", "logit_bias", "metadata", "stream_options", "prediction", "modalities"),
    *("audio", "user", "prompt_cache_key", "web_search_options", "reasoning_effort", "logprobs"),
    *("store", "tools", "tool_choice", "functions", "function_call", "response_format", "n"),
)


def of_another_type(value: Any) -> Iterator[Json]:
    """Requests that have this value where it may not belong."""

    def says(*messages: Json) -> Json:
        return {"messages": [*messages, {"role": "user", "content": "x"}]}

    def calls(call: Json) -> Json:
        return says(
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": value, "content": value},
        )

    for kind in PARTS:
        for held in (value, dict.fromkeys(INSIDE, value)):
            yield says({"role": "user", "content": [{"type": kind, kind: held}]})
    for more in ({"content": [value]}, {"content": "x", "name": value}):
        yield says({"role": "user", **more})
    for name in ("audio", "refusal", "function_call"):
        yield says({"role": "assistant", "content": "x", name: value})
    yield calls({"id": value, "type": value, "function": value})
    yield calls({"id": "a", "function": {"name": value, "arguments": value}})
    yield {"tools": [{"type": value}]}
    yield {"tools": [{"type": "function", "function": {"name": value, "parameters": value}}]}
    yield {"response_format": {"type": value}}
    schema = dict.fromkeys(("type", "properties", "required", "enum", "anyOf", "$ref"), value)
    wanted = {"name": "a", "schema": schema}
    yield {"response_format": {"type": "json_schema", "json_schema": wanted}}
    yield from ({name: value} for name in FIELDS)
    yield from ({"autoshift": {name: value}} for name in OURS)


async def test_no_value_of_another_type_is_an_error_of_ours(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for value in JUNK:
            for more in of_another_type(value):
                reply = await gate.ask(**{"model": "auto:value", **more})
                assert reply.status_code in {200, 400, 404}, (more, reply.text)
