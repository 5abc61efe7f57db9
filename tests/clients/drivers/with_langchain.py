"""LangChain's ChatOpenAI."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.clients.drivers.driver import Seen, Turn, drive

# The client gives up when no chunk that it can parse comes for this long; a comment is none.
CHUNK_TIMEOUT_S = 65


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def model(turn: Turn, **more: Any) -> Any:
    return ChatOpenAI(
        base_url=turn.base_url,
        api_key="none",
        model=turn.model,
        max_retries=turn.retries,
        stream_chunk_timeout=CHUNK_TIMEOUT_S,
        **more,
    )


async def plain(turn: Turn, seen: Seen) -> None:
    note(await model(turn).ainvoke(turn.prompt), seen)


async def stream(turn: Turn, seen: Seen) -> None:
    await read(model(turn).astream(turn.prompt), seen)


async def stream_usage(turn: Turn, seen: Seen) -> None:
    await read(model(turn, stream_usage=True).astream(turn.prompt), seen)


async def tools(turn: Turn, seen: Seen) -> None:
    bound = model(turn).bind_tools([weather])
    asked = await bound.ainvoke(turn.prompt)
    note(asked, seen)
    note(await bound.ainvoke([HumanMessage(turn.prompt), asked, *results(seen)]), seen)


async def tools_stream(turn: Turn, seen: Seen) -> None:
    bound = model(turn).bind_tools([weather])
    asked = None
    async for piece in bound.astream(turn.prompt):
        asked = piece if asked is None else asked + piece
    note(asked, seen)
    said = AIMessage(content="", tool_calls=asked.tool_calls if asked else [])
    await read(bound.astream([HumanMessage(turn.prompt), said, *results(seen)]), seen)


async def structured(turn: Turn, seen: Seen) -> None:
    told = await model(turn).with_structured_output(Person, include_raw=True).ainvoke(turn.prompt)
    note(told["raw"], seen)
    seen["value"] = told["parsed"] and told["parsed"].model_dump()


async def structured_stream(turn: Turn, seen: Seen) -> None:
    shaped = model(turn, stream_usage=True).with_structured_output(
        Person, method="function_calling"
    )
    async for value in shaped.astream(turn.prompt):
        seen["value"] = value.model_dump()


def note(message: Any, seen: Seen) -> None:
    seen["text"] = message.content or None
    seen["finish"] = message.response_metadata.get("finish_reason")
    usage = message.usage_metadata
    if usage:
        seen["usage"] = [usage["input_tokens"], usage["output_tokens"]]
    for call in message.tool_calls:
        seen.setdefault("calls", []).append([call["id"], call["name"], call["args"]])


async def read(pieces: Any, seen: Seen) -> None:
    """Join what a stream brings, as user code does."""
    seen.update(text="", pieces=0)
    total = None
    async for piece in pieces:
        total = piece if total is None else total + piece
        seen["text"] += piece.content
        seen["pieces"] += bool(piece.content)
    if total is not None:
        note(total, seen)


def results(seen: Seen) -> list[Any]:
    return [ToolMessage(content="rain", tool_call_id=identity) for identity, _, _ in seen["calls"]]


drive(
    {
        "plain": plain,
        "stream": stream,
        "stream_usage": stream_usage,
        "tools": tools,
        "tools_stream": tools_stream,
        "structured": structured,
        "structured_stream": structured_stream,
    }
)
