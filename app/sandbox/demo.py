"""The demo: one stream of questions, through the gateway as `auto` and as every fixed tier."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

import anyio
import httpx
import orjson

from app.errors import UpstreamBrokenError, UpstreamConnectError
from app.jsontext import Json
from app.sandbox.calls import said_of
from app.sandbox.questions import Question, draw_questions, is_right
from app.sandbox.report import DemoReport
from app.sandbox.runs import AUTO, PURPOSES, Run, Served

QUESTIONS = 300
SEED = 7
TIERS = ("small", "medium", "large")
IN_FLIGHT = 4
_TIMEOUT_S = 60.0
_DECISION_WAIT_S = 5.0

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told the run's name, how many questions are done, and of how many."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def run_demo(
    gateway_url: str,
    *,
    questions: int = QUESTIONS,
    seed: int = SEED,
    progress: Progress,
    tiers: Sequence[str] = TIERS,
) -> DemoReport:
    """Ask everything once as `auto` and once of each tier, and compare with the truth.

    Errors: UpstreamConnectError where no gateway answers; a request that fails is only counted.
    """
    asked = draw_questions(questions, seed=seed)
    async with httpx.AsyncClient(
        base_url=gateway_url.rstrip("/").removesuffix("/v1"),
        timeout=_TIMEOUT_S,
        trust_env=False,
        limits=httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT),
    ) as http:
        await _check(http)
        auto = await _run(http, AUTO, asked, progress)
        auto = await _with_decisions(http, auto)
        fixed = [await _run(http, tier, asked, progress) for tier in tiers]
    return DemoReport(seed, auto, tuple(fixed))


async def _check(http: httpx.AsyncClient) -> None:
    try:
        response = await http.get("/v1/models")
    except httpx.HTTPError as exc:
        raise UpstreamConnectError(f"no gateway answers at {http.base_url}") from exc
    if response.is_error:
        raise UpstreamBrokenError(f"{http.base_url} answers {response.status_code}: no gateway?")


async def _run(
    http: httpx.AsyncClient, name: str, asked: Sequence[Question], progress: Progress
) -> Run:
    done = 0

    async def ask(question: Question) -> Served:
        nonlocal done
        served = await _ask(http, name, question)
        done += 1
        progress(name, done, len(asked))
        return served

    return Run(name, tuple(await _each(asked, ask)))


async def _ask(http: httpx.AsyncClient, model: str, question: Question) -> Served:
    started_s = time.perf_counter()
    try:
        response = await http.post("/v1/chat/completions", json=question.body(model))
    except httpx.HTTPError:
        return Served(right=False, failed=True, latency_s=time.perf_counter() - started_s)
    latency_s = time.perf_counter() - started_s
    text = _answer_text(response)
    decision = response.headers.get("x-autoshift-decision")
    return Served(
        right=text is not None and is_right(question, text),
        failed=text is None,
        cost_usd=_usd(response.headers.get("x-autoshift-cost-usd")),
        latency_s=latency_s,
        tier=response.headers.get("x-autoshift-tier"),
        calls=None if model == AUTO else 1,
        decision_url=f"{http.base_url}/v1/decisions/{decision}" if decision else None,
    )


def _answer_text(response: httpx.Response) -> str | None:
    """The answer, tool calls as a JSON array; None where there is none to be read."""
    if response.is_error:
        return None
    try:
        message = orjson.loads(response.content)["choices"][0]["message"]
        text = said_of(calls) if (calls := message.get("tool_calls")) else message["content"]
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return None
    return text if isinstance(text, str) else None


def _usd(header: str | None) -> float | None:
    try:
        return None if header is None else float(header)
    except ValueError:
        return None


async def _with_decisions(http: httpx.AsyncClient, run: Run) -> Run:
    """The run with what the gateway tells about each decision: path, calls and costs by purpose."""
    until_s = anyio.current_time() + _DECISION_WAIT_S

    async def tell(served: Served) -> Served:
        if served.decision_url is None:
            return served
        decision = await _decision(http, served.decision_url, until_s)
        return served if decision is None else _told(served, decision)

    return Run(run.name, tuple(await _each(run.served, tell)))


async def _decision(http: httpx.AsyncClient, url: str, until_s: float) -> Json | None:
    """The decision as JSON; a record may take a moment to arrive, so 404 is asked again."""
    while True:
        try:
            response = await http.get(url)
            if response.is_success:
                decision = orjson.loads(response.content)
                return decision if isinstance(decision, dict) else None
        except (httpx.HTTPError, orjson.JSONDecodeError):
            return None
        if anyio.current_time() >= until_s:
            return None
        await anyio.sleep(0.05)


def _told(served: Served, decision: Json) -> Served:
    costs_usd = decision.get("costs_usd") or {}
    attempts = decision.get("attempts") or []
    judged = [
        verdict
        for attempt in attempts
        for verdict in attempt.get("verdicts") or []
        if not str(verdict.get("by")).startswith("check:")
    ]
    return Served(
        right=served.right,
        failed=served.failed,
        cost_usd=decision.get("cost_usd", served.cost_usd),
        costs_usd=tuple(costs_usd.get(purpose) for purpose in PURPOSES) if costs_usd else (),
        latency_s=served.latency_s,
        tier=decision.get("served_tier") or served.tier,
        path=tuple(str(attempt.get("tier")) for attempt in attempts),
        calls=len(attempts) + len(judged),
        decision_url=served.decision_url,
    )


async def _each(
    items: Sequence[_Item], work: Callable[[_Item], Awaitable[_Result]]
) -> list[_Result]:
    """The results in the items' order; items are taken up in order, a few at a time."""
    results: dict[int, _Result] = {}
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for position, item in waiting:
            results[position] = await work(item)

    async with anyio.create_task_group() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.start_soon(worker)
    return [results[position] for position in range(len(items))]
