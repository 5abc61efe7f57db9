"""Hostile bodies by the thousand, and mutated bytes for the SSE reader and the verdict parser."""

import asyncio
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

from app.jsontext import Json
from app.judge.llm import read_verdict
from app.judge.prompt import VERDICTS
from tests.support.gateway import Gateway, chat, gateway
from tests.support.hostile import BODIES
from tests.support.provider import Says

BODIES_FUZZED = 10_000
VERDICTS_FUZZED = 5_000
ATHERIS_S = 60
INSTALL = "pip install --require-hashes --no-deps -r tests/long/atheris.txt"
HEADERS = {"content-type": "application/json"}
PARTS = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SEEDS: tuple[Json, ...] = (
    chat("Hi", model="small", temperature=0.5, stop=["x"], user="u", metadata={"a": "b"}),
    chat("Hi", model="auto", stream=True, stream_options={"include_usage": True}),
    chat("Hi", model="small", n=2, seed=7, logit_bias={"1": 5}, top_k=5, guided_json={"a": [1]}),
    chat(
        messages=[{"role": "user", "content": PARTS}],
        model="auto:cascade",
        tools=[TOOL],
        tool_choice="auto",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        autoshift={"learn": False, "task": "t"},
    ),
)
ODD: tuple[object, ...] = (
    *(None, True, 0, -1, 2**63, 10**25, 1.5, 1e308, "", "x", "\x00", "\ud7ff", [], {}, [[]]),
    *([None], {"": None}, {"a": {"a": {"a": []}}}, "x" * 10_000, ["x"] * 200),
    {str(n): n for n in range(50)},
)


def run(*, scale: float) -> dict[str, object]:
    """10,000 bodies, every body of the fixed corpus, 5,000 verdicts; with atheris a minute each."""
    logging.disable(logging.ERROR)
    figures = asyncio.run(_bodies(max(100, int(BODIES_FUZZED * scale))))
    figures |= _verdicts(max(100, int(VERDICTS_FUZZED * scale)))
    if find_spec("atheris") is None:
        return {**figures, "atheris": f"skipped: {INSTALL}"}
    for target in ("sse", "verdict"):
        figures[f"atheris {target}"] = _atheris(target, max(5, int(ATHERIS_S * scale)))
    return figures


async def _bodies(count: int) -> dict[str, object]:
    chance = random.Random(time.time_ns())  # noqa: S311
    statuses: dict[int, int] = {}
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder)) as gate:
            for name in ("model-small", "model-medium", "model-large"):
                gate.provider.answers(name, Says("4"))
            for name, make in BODIES.items():
                slowest_s = max(slowest_s, await _send(gate, make(), statuses, name))
            for number in range(count):
                body = _mutated(chance)
                slowest_s = max(slowest_s, await _send(gate, body, statuses, f"{number}: {body!r}"))
                if number % 500 == 0:
                    gate.provider.calls.clear()
            assert (await gate.ask()).status_code == 200
    told = {str(status): many for status, many in sorted(statuses.items())}
    return {"bodies": count + len(BODIES), **told, "slowest, s": round(slowest_s, 2)}


async def _send(gate: Gateway, body: bytes, statuses: dict[int, int], what: str) -> float:
    started_s = time.thread_time()
    reply = await gate.http.post("/v1/chat/completions", content=body, headers=HEADERS)
    took_s = time.thread_time() - started_s
    told = (what[:500], reply.status_code, reply.text[:300])
    # With 31 MB the scripted provider may be too slow; that is its own failure, and told as one.
    assert reply.status_code in {200, 400, 404, 413, 504}, told
    assert '"internal_error"' not in reply.text, told
    statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
    return took_s


def _mutated(chance: random.Random) -> bytes:
    """A known body with a few values replaced, a key moved, or its bytes disturbed."""
    body = json.loads(json.dumps(chance.choice(SEEDS)))
    for _ in range(chance.randint(0, 3)):
        _replace(body, chance)
    raw = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if chance.random() < 0.3:
        at = chance.randrange(len(raw))
        noise = bytes(chance.randrange(256) for _ in range(chance.randint(0, 4)))
        raw = raw[:at] + noise + raw[at + chance.randint(0, 4) :]
    return raw


def _replace(inside: object, chance: random.Random) -> None:
    while True:
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))  # type: ignore[arg-type]
        if not keys:
            return
        key = chance.choice(keys)
        inner = inside[key]  # type: ignore[index]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.4:
            inside[key] = deepcopy(chance.choice(ODD))  # type: ignore[index]
            return
        inside = inner


def _verdicts(count: int) -> dict[str, object]:
    """Near misses of a verdict: only the two exact objects are one."""
    chance = random.Random(time.time_ns())  # noqa: S311
    exact = {f'{{"verdict":"{word}"}}': valid for word, valid in VERDICTS.items()}
    accepted = 0
    for _ in range(count):
        text = chance.choice(list(exact))
        for _ in range(chance.randint(0, 2)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(' \n"{}[]:,VALIDINverdict\u200b\ufeff`0') + text[at:]
        found = read_verdict(text)
        plain = "".join(text.split(" ")).replace("\n", "")
        assert found is exact.get(plain) or (found is None and plain in exact), text
        accepted += found is True
    return {"verdict texts": count, "of them exact": accepted}


def _atheris(target: str, seconds: int) -> str:
    command = [sys.executable, "-m", "tests.long._atheris", target, f"-max_total_time={seconds}"]
    with tempfile.TemporaryDirectory() as folder:
        command += ["-print_final_stats=1", "-timeout=1", f"-artifact_prefix={folder}/"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    return f"{found[0].split()[-1]} runs in {seconds} s" if found else f"{seconds} s"
