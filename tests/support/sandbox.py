"""The simulated provider on a socket, and short ways to ask it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import httpx

from app.jsontext import Json
from app.sandbox.provider import sandbox_app
from app.sandbox.questions import Question, draw_questions
from app.sandbox.templates import Topic
from app.serving import serving

MANY = draw_questions(4000, seed=11)
"""Enough for a few dozen questions of the rarest kind."""


def about(topic: Topic, difficulty: int | None = None) -> list[Question]:
    """The questions about this topic among MANY."""
    asked = [question for question in MANY if question.topic == topic]
    return [q for q in asked if difficulty in (None, q.difficulty)]


@asynccontextmanager
async def sandbox(
    seed: int = 7, *, delay_factor: float = 0
) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of the sandbox that is up for as long."""
    app = sandbox_app(seed=seed, delay_factor=delay_factor)
    async with serving(app) as up, httpx.AsyncClient(base_url=up.url, trust_env=False) as http:
        yield http


def body(text: str, model: str = "sim-medium", **more: object) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def reply(http: httpx.AsyncClient, request: Json) -> Json:
    """The whole completion."""
    response = await http.post("/v1/chat/completions", json=request)
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


async def message(http: httpx.AsyncClient, request: Json) -> Json:
    found: Json = (await reply(http, request))["choices"][0]["message"]
    return found


async def answer(http: httpx.AsyncClient, request: Json) -> str:
    return str((await message(http, request))["content"])


async def messages(http: httpx.AsyncClient, requests: Sequence[Json]) -> list[Json]:
    """All messages, a few requests at a time."""
    said: dict[int, Json] = {}
    waiting = iter(enumerate(requests))

    async def worker() -> None:
        for position, request in waiting:
            said[position] = await message(http, request)

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(worker)
    return [said[position] for position in range(len(requests))]


async def answers(http: httpx.AsyncClient, requests: Sequence[Json]) -> list[str]:
    return [str(said["content"]) for said in await messages(http, requests)]
