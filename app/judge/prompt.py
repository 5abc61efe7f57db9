"""What a judge is shown: conversation and answers as data between fences, never as words to it."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.answers import Answer
from app.jsontext import Json, dump_json
from app.judge.hollow import visible
from app.tiers import Tier
from app.wire import ChatRequest, parts, text_of

VERDICTS: Mapping[str, bool] = {"VALID": True, "INVALID": False}
TEXT_CHARACTERS = 8_000
CONVERSATION_CHARACTERS = 24_000
NAME_CHARACTERS = 64
TOOLS = 128
IMAGES = 8

_FENCE_LIKE = re.compile(r"[-\u2010-\u2015\u2212\u2500\u2501\ufe58\ufe63\uff0d]{4,}")
# A careless server takes these for its model's own marks, wherever they stand.
_MODEL_TOKENS = re.compile(
    r"<(?=[|\uff5c]|/?(?:s|bos|eos|pad|unk|think|system|user|assistant|tool\w*|\w+_of_\w+)>|/?<SYS)"
    r"|(?<=[|\uff5c])>|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+)\])"
)
_LINE_ENDS = re.compile(r"[\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Task:
    """What a judge is to do: its instructions, and the form of its reply.

    `reminder` says in one line, after the data, what `system` said before it: whatever the data
    claims, the last word is ours.
    """

    system: str
    reminder: str
    name: str
    properties: Json


def prompt_body(
    task: Task, by: Tier, request: ChatRequest, answers: Mapping[str, Answer], max_tokens: int
) -> Json:
    """The request to the judging tier; the answers are shown under these names."""
    images = _images(request) if by.supports is None or "vision" in by.supports else []
    shown = {name: _answer(answer) for name, answer in answers.items()}
    text = f"{fenced({'question': _question(request), **shown})}\n{task.reminder}"
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


def fenced(shown: Json) -> str:
    """The object as one line of data between two lines that no data can imitate."""
    fence = f"----- data {secrets.token_hex(16)} -----"
    return f"{fence}\n{_as_data(shown)}\n{fence}"


def pairs_of(reply: str) -> object:
    """What the reply's one JSON object says, as pairs; None for anything else.

    Pairs, not a dict: of a key given twice a dict keeps one word and hides the other.
    """
    try:
        pairs = json.loads(reply, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    return pairs if isinstance(pairs, tuple) else None


def _as_data(shown: Json) -> str:
    """One line of JSON in which nothing looks like a fence, a line's end or a model's own token.

    All that stands in strings, so it can be escaped: to a reader of JSON it says the same.
    """
    text = visible(dump_json(shown).decode())
    for look_alike in (_FENCE_LIKE, _MODEL_TOKENS, _LINE_ENDS):
        text = look_alike.sub(_escaped, text)
    return text


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in found[0])


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
    return {"conversation": question, "tools": _tools(request)}


def _tools(request: ChatRequest) -> Sequence[object]:
    """The tools whole; where they are very long, only their names."""
    if len(dump_json(request.tools)) <= CONVERSATION_CHARACTERS:
        return request.tools
    inner = (tool.get("function") or tool.get("custom") or {} for tool in request.tools)
    return [str(one.get("name"))[:NAME_CHARACTERS] for one in inner][:TOOLS]


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
    text = visible(text)
    if len(text) <= TEXT_CHARACTERS:
        return text
    half = TEXT_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - TEXT_CHARACTERS} characters left out …]\n{text[-half:]}"
