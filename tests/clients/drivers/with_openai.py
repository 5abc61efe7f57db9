"""The official client for Python, whichever major is installed."""

import json
from typing import Any

from openai import OpenAI
from pydantic import BaseModel

from tests.clients.drivers.driver import WEATHER_PARAMETERS, Seen, Turn, drive

WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": WEATHER_PARAMETERS, "strict": True},
}


class Person(BaseModel):
    name: str
    age: int


def client(turn: Turn) -> OpenAI:
    return OpenAI(base_url=turn.base_url, api_key="none", max_retries=turn.retries)


def question(turn: Turn) -> list[Any]:
    return [{"role": "user", "content": turn.prompt}]


async def plain(turn: Turn, seen: Seen) -> None:
    note(client(turn).chat.completions.create(model=turn.model, messages=question(turn)), seen)


async def stream(turn: Turn, seen: Seen) -> None:
    read(
        client(turn).chat.completions.create(
            model=turn.model, messages=question(turn), stream=True
        ),
        seen,
    )


async def stream_usage(turn: Turn, seen: Seen) -> None:
    read(
        client(turn).chat.completions.create(
            model=turn.model,
            messages=question(turn),
            stream=True,
            stream_options={"include_usage": True},
        ),
        seen,
    )


async def tools(turn: Turn, seen: Seen) -> None:
    completions, messages = client(turn).chat.completions, question(turn)
    asked = completions.create(model=turn.model, messages=messages, tools=[WEATHER])
    note(asked, seen)
    messages += [asked.choices[0].message, *results(seen)]
    told = completions.create(model=turn.model, messages=messages, tools=[WEATHER])
    note(told, seen)


async def tools_stream(turn: Turn, seen: Seen) -> None:
    completions, messages = client(turn).chat.completions, question(turn)
    with completions.stream(model=turn.model, messages=messages, tools=[WEATHER]) as events:
        for _ in events:
            pass
        asked = events.get_final_completion()
    note(asked, seen)
    messages += [asked.choices[0].message.model_dump(exclude_none=True), *results(seen)]
    read(
        completions.create(model=turn.model, messages=messages, tools=[WEATHER], stream=True),
        seen,
    )


async def structured(turn: Turn, seen: Seen) -> None:
    parsed = client(turn).chat.completions.parse(
        model=turn.model, messages=question(turn), response_format=Person
    )
    note(parsed, seen)
    value = parsed.choices[0].message.parsed
    seen["value"] = value and value.model_dump()


async def structured_stream(turn: Turn, seen: Seen) -> None:
    with client(turn).chat.completions.stream(
        model=turn.model,
        messages=question(turn),
        response_format=Person,
        stream_options={"include_usage": True},
    ) as events:
        for _ in events:
            pass
        parsed = events.get_final_completion()
    note(parsed, seen)
    value = parsed.choices[0].message.parsed
    seen["value"] = value and value.model_dump()


def note(completion: Any, seen: Seen) -> None:
    (choice,) = completion.choices
    seen["text"] = choice.message.content
    seen["finish"] = choice.finish_reason
    if completion.usage:
        seen["usage"] = [completion.usage.prompt_tokens, completion.usage.completion_tokens]
    for call in choice.message.tool_calls or []:
        arguments = json.loads(call.function.arguments)
        seen.setdefault("calls", []).append([call.id, call.function.name, arguments])


def read(chunks: Any, seen: Seen) -> None:
    """Join what a raw stream brings, as user code does."""
    seen.update(text="", pieces=0)
    for chunk in chunks:
        if chunk.usage:
            seen["usage"] = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
        for choice in chunk.choices:
            seen["text"] += choice.delta.content or ""
            seen["pieces"] += bool(choice.delta.content)
            seen["finish"] = choice.finish_reason or seen.get("finish")


def results(seen: Seen) -> list[Any]:
    return [
        {"role": "tool", "tool_call_id": identity, "content": "rain"}
        for identity, _, _ in seen["calls"]
    ]


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
