"""Instructor, which asks for structured output by way of a tool and asks again when it is wrong."""

# mypy: disable-error-code="import-not-found"

from typing import Any

import instructor
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.clients.drivers.driver import Seen, Turn, drive


class Person(BaseModel):
    name: str
    age: int


def client(turn: Turn) -> Any:
    made = AsyncOpenAI(base_url=turn.base_url, api_key="none", max_retries=turn.retries)
    return instructor.from_openai(made)


def asking(turn: Turn) -> dict[str, Any]:
    return {"model": turn.model, "messages": [{"role": "user", "content": turn.prompt}]}


async def plain(turn: Turn, seen: Seen) -> None:
    told = await client(turn).chat.completions.create(response_model=None, **asking(turn))
    note(told, seen)


async def stream(turn: Turn, seen: Seen) -> None:
    seen.update(text="", pieces=0)
    chunks = await client(turn).chat.completions.create(
        response_model=None, stream=True, **asking(turn)
    )
    async for chunk in chunks:
        for choice in chunk.choices:
            seen["text"] += choice.delta.content or ""
            seen["pieces"] += bool(choice.delta.content)
            seen["finish"] = choice.finish_reason or seen.get("finish")


async def structured(turn: Turn, seen: Seen) -> None:
    value, told = await client(turn).chat.completions.create_with_completion(
        response_model=Person, max_retries=2, **asking(turn)
    )
    note(told, seen)
    seen["value"] = value.model_dump()


async def structured_stream(turn: Turn, seen: Seen) -> None:
    async for value in client(turn).chat.completions.create_partial(
        response_model=Person, **asking(turn)
    ):
        seen["value"] = value.model_dump()


def note(completion: Any, seen: Seen) -> None:
    (choice,) = completion.choices
    seen["text"] = choice.message.content
    seen["finish"] = choice.finish_reason
    seen["usage"] = [completion.usage.prompt_tokens, completion.usage.completion_tokens]


drive(
    {
        "plain": plain,
        "stream": stream,
        "structured": structured,
        "structured_stream": structured_stream,
        "asks_again": structured,
    }
)
