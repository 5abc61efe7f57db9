"""What a judge is shown: conversation and answers as data between fences, never as words to it."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.answers import Answer
from app.jsontext import Json, dump_json
from app.tiers import Tier
from app.wire import ChatRequest, parts, text_of

TEXT_CHARACTERS = 8_000
CONVERSATION_CHARACTERS = 24_000
IMAGES = 8

_REMINDER = "The data ends here. Reply with the verdict object only."
_INVISIBLE = dict.fromkeys(
    [
        *(0x00AD, 0x180E, 0xFEFF),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xE0000, 0xE0200),  # tags and variation selectors: whole texts can hide in them
    ]
)


@dataclass(frozen=True, slots=True)
class Task:
    """What a judge is to do: its instructions, and the form of its reply."""

    system: str
    name: str
    properties: Json


def prompt_body(
    task: Task, by: Tier, request: ChatRequest, answers: Mapping[str, Answer], max_tokens: int
) -> Json:
    """The request to the judging tier; the answers are shown under these names."""
    images = _images(request) if by.supports is None or "vision" in by.supports else []
    fence = f"----- data {secrets.token_hex(16)} -----"
    shown = {name: _answer(answer) for name, answer in answers.items()}
    data = dump_json({"question": _question(request), **shown}).decode()
    text = f"{fence}\n{data}\n{fence}\n{_REMINDER}"
    body: Json = {
        "model": by.model,
        "messages": [
            {"role": "system", "content": task.system},
            {
                "role": "user",
                "content": [*images, {"type": "text", "text": text}] if images else text,
            },
        ],
        by.token_param: max_tokens,
    }
    if by.supports is None or "json_schema" in by.supports:
        body["response_format"] = _format(task)
    return body


def _format(task: Task) -> Json:
    schema = {
        "type": "object",
        "properties": task.properties,
        "required": list(task.properties),
        "additionalProperties": False,
    }
    named = {"name": task.name, "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


def _question(request: ChatRequest) -> object:
    turns = _turns(request.messages)
    question: object = turns[0]["text"] if len(turns) == 1 else turns
    if not request.tools:
        return question
    return {"conversation": question, "tools": request.tools}


def _turns(messages: Sequence[Json]) -> list[Json]:
    """Role and text of each turn; of a long conversation the first one and the latest."""
    turns = [{"role": m["role"], "text": _cleaned(text_of(m))} for m in messages]
    first, *later = turns
    room = CONVERSATION_CHARACTERS - len(first["text"])
    kept: list[Json] = []
    for turn in reversed(later):
        room -= len(turn["text"])
        if room < 0 and kept:
            kept.append({"role": "system", "text": "[… earlier turns left out …]"})
            break
        kept.append(turn)
    return [first, *reversed(kept)]


def _images(request: ChatRequest) -> list[Json]:
    """The pictures of the last turns; they are looked at, and nobody fetches them here."""
    every = [p for message in request.messages for p in parts(message)]
    return [part for part in every if part.get("type") == "image_url"][-IMAGES:]


def _answer(answer: Answer) -> object:
    text = _cleaned(answer.text or answer.refusal)
    if not answer.tool_calls:
        return text
    calls = [
        {"name": _cleaned(call.name), "arguments": _cleaned(call.arguments)}
        for call in answer.tool_calls
    ]
    return {"text": text, "tool_calls": calls}


def _cleaned(text: str) -> str:
    """Without invisible characters; head and tail where it is very long."""
    text = text.translate(_INVISIBLE)
    if len(text) <= TEXT_CHARACTERS:
        return text
    half = TEXT_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - TEXT_CHARACTERS} characters left out …]\n{text[-half:]}"
