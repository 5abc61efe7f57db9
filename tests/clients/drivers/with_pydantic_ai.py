"""Pydantic AI's Agent, which runs the tool loop itself and asks every stream for its usage."""

# mypy: disable-error-code="import-not-found"

from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.drivers.driver import Seen, Turn, drive


class Person(BaseModel):
    name: str
    age: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def agent(turn: Turn, **more: Any) -> Any:
    client = AsyncOpenAI(base_url=turn.base_url, api_key="none", max_retries=turn.retries)
    return Agent(OpenAIChatModel(turn.model, provider=OpenAIProvider(openai_client=client)), **more)


async def plain(turn: Turn, seen: Seen) -> None:
    note(await agent(turn).run(turn.prompt), seen)


async def stream(turn: Turn, seen: Seen) -> None:
    await read(agent(turn), turn, seen)


async def tools(turn: Turn, seen: Seen) -> None:
    note(await agent(turn, tools=[weather]).run(turn.prompt), seen)


async def tools_stream(turn: Turn, seen: Seen) -> None:
    await read(agent(turn, tools=[weather]), turn, seen)


async def structured(turn: Turn, seen: Seen) -> None:
    told = await agent(turn, output_type=Person).run(turn.prompt)
    note(told, seen)
    seen["value"] = told.output.model_dump()


async def structured_stream(turn: Turn, seen: Seen) -> None:
    async with agent(turn, output_type=Person).run_stream(turn.prompt) as told:
        async for value in told.stream_output(debounce_by=None):
            seen["value"] = value.model_dump()
    note(told, seen)


async def read(asking: Any, turn: Turn, seen: Seen) -> None:
    """Join what a stream brings, as user code does."""
    seen.update(text="", pieces=0)
    async with asking.run_stream(turn.prompt) as told:
        async for piece in told.stream_text(delta=True, debounce_by=None):
            seen["text"] += piece
            seen["pieces"] += bool(piece)
    note(told, seen)


def note(told: Any, seen: Seen) -> None:
    responses = [message for message in told.all_messages() if message.kind == "response"]
    usage = responses[-1].usage
    seen["usage"] = [usage.input_tokens, usage.output_tokens]
    seen["finish"] = responses[-1].finish_reason
    texts = [part.content for part in responses[-1].parts if part.part_kind == "text"]
    seen.setdefault("text", "".join(texts))
    for response in responses:
        for part in response.parts:
            if part.part_kind == "tool-call":
                call = [part.tool_call_id, part.tool_name, part.args_as_dict()]
                seen.setdefault("calls", []).append(call)


drive(
    {
        "plain": plain,
        "stream": stream,
        "stream_usage": stream,
        "tools": tools,
        "tools_stream": tools_stream,
        "structured": structured,
        "structured_stream": structured_stream,
        "asks_again": structured,
    }
)
