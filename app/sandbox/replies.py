"""What a simulated model says: an answer, a tool call, a verdict, or who it is."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.jsontext import Json, dump_json
from app.sandbox.models import SimModel, chance
from app.sandbox.questions import Solved, solve
from app.sandbox.schemas import fitting
from app.wire import ChatRequest, text_of

_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
_TOKENS_A_MESSAGE = 4
_DATA = re.compile(r'\{\s*"(?:question|answer)"\s*:')
_WANTS_TOOL = re.compile(
    r"\b(?:weather|look ?up|search|find|call|use|get|fetch|check)\b", re.IGNORECASE
)
_PLACE = re.compile(r"\b(?:in|for|at|of|to) ([A-Z]\w+(?: [A-Z]\w+)*)")
_LEADS = (
    "Let me go through this carefully. I take the given values one by one, apply each step in the "
    "order in which it was asked, and check the result against the question.",
    "I first restate what is asked, then work through the steps without skipping any, and at the "
    "end verify that the result has the form that was asked for.",
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model makes it; `arguments` are JSON in a string."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `reasoning_tokens` are paid for and not shown."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_tokens: int = 0
    finish_reason: str = "stop"

    @property
    def tokens(self) -> int:
        called = sum(token_count(call.name + call.arguments) for call in self.tool_calls)
        return token_count(self.text) + called + self.reasoning_tokens


def reply_to(request: ChatRequest, model: SimModel, *, seed: int) -> Reply:
    """What this model says to this request, cut where the client's token cap says so."""
    if (data := _judged(request)) is not None:
        reply = _verdict(data, model, seed)
    elif calls := _tool_calls(request):
        reply = Reply("", calls, model.reasoning_tokens, "tool_calls")
    else:
        reply = _answer(request, model, seed)
    return _capped(reply, request.token_cap)


def prompt_token_count(request: ChatRequest) -> int:
    """The prompt's length, tools and response format included."""
    texts = [text_of(message) for message in request.messages]
    extras = [request.body.get(key) for key in ("tools", "response_format")]
    texts += [dump_json(extra).decode() for extra in extras if extra]
    return sum(map(token_count, texts)) + _TOKENS_A_MESSAGE * len(request.messages)


def token_count(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def pieces(text: str, tokens: int = 4) -> Iterator[str]:
    """The text in pieces of a few tokens, as a stream brings it."""
    found = _TOKEN.findall(text)
    for start in range(0, len(found), tokens):
        yield "".join(found[start : start + tokens])


def _answer(request: ChatRequest, model: SimModel, seed: int) -> Reply:
    text = _asked(request)
    solved = solve(text)
    if solved is None:
        return Reply(_introduction(request, model))
    answer = solved.solution.answer
    if not model.knows(seed, text, model.accuracy(solved.topic, solved.difficulty)):
        slips = solved.solution.slips
        answer = slips[int(chance(seed, "slip", model.name, text) * len(slips))]
    reasoning_tokens = model.reasoning_tokens * solved.difficulty
    if not request.wants_json and not answer.startswith("{"):
        return Reply(_worded(answer, model, seed, text), reasoning_tokens=reasoning_tokens)
    said = _as_json(answer, request, solved)
    if request.wants_json and chance(seed, "format", model.name, text) < model.format_slips:
        said = f"Here is the JSON you asked for:\n```json\n{said}\n```"
    return Reply(said, reasoning_tokens=reasoning_tokens)


def _as_json(answer: str, request: ChatRequest, solved: Solved) -> str:
    """The answer as the client's response format wants it."""
    if answer.startswith("{") and (solved.strict or not request.json_schema):
        return answer
    if request.json_schema:
        return dump_json(fitting(request.json_schema, answer)).decode()
    return dump_json({"answer": answer}).decode()


def _worded(answer: str, model: SimModel, seed: int, text: str) -> str:
    """The answer in a sentence: a bare one from the small model, the longest from the large."""
    match model.name:
        case "sim-small":
            bare = chance(seed, "bare", text) < 1 / 2
            return answer if bare else f"The answer is {answer}."
        case "sim-medium":
            return f"Working through the steps gives the result. The answer is {answer}."
        case _:
            lead = _LEADS[int(chance(seed, "lead", text) * len(_LEADS))]
            return f"{lead}\n\nAnswer: {answer}"


def _introduction(request: ChatRequest, model: SimModel) -> str:
    last = request.messages[-1]
    if last.get("role") == "tool":
        said = f"The tool says: {text_of(last)}"
    else:
        said = (
            f"This is the Autoshift sandbox: {model.name} is simulated and understands only "
            "its own generated questions. Try: What is 17 + 25?"
        )
    if not request.wants_json:
        return said
    return dump_json(fitting(request.json_schema or _ANSWER_SCHEMA, said)).decode()


_ANSWER_SCHEMA: Json = {"type": "object", "properties": {"answer": {"type": "string"}}}


def _tool_calls(request: ChatRequest) -> tuple[ToolCall, ...]:
    """One call, where the client demands it or the text sounds like it."""
    choice = request.body.get("tool_choice")
    may_decline = choice is None or choice == "auto"
    after_tool = request.messages[-1].get("role") == "tool"
    text = _asked(request)
    if choice == "none" or (may_decline and (after_tool or not _WANTS_TOOL.search(text))):
        return ()
    functions = [inner for tool in request.tools if isinstance(inner := tool.get("function"), dict)]
    if isinstance(choice, dict) and isinstance(named := choice.get("function"), dict):
        functions = [inner for inner in functions if inner.get("name") == named.get("name")]
    if not functions:
        return ()
    place = _PLACE.search(text)
    arguments = fitting(functions[0].get("parameters") or {}, place[1] if place else text)
    identity = f"call_{int(chance(text) * 2**48):012x}"
    written = dump_json(arguments if isinstance(arguments, dict) else {}).decode()
    return (ToolCall(id=identity, name=str(functions[0].get("name")), arguments=written),)


def _judged(request: ChatRequest) -> Json | None:
    """The question and answer to be judged, if that is what is asked."""
    wanted = (request.body.get("response_format") or {}).get("json_schema") or {}
    instructions = [text_of(m) for m in request.messages if m["role"] in {"system", "developer"}]
    if wanted.get("name") != "verdict" and "verdict" not in " ".join(instructions).lower():
        return None
    text = _asked(request)
    for start in _DATA.finditer(text):
        try:
            data, _ = json.JSONDecoder().raw_decode(text, start.start())
        except json.JSONDecodeError:
            continue
        if isinstance(data, dict) and {"question", "answer"} <= set(data):
            return data
    return None


def _verdict(data: Json, model: SimModel, seed: int) -> Reply:
    """A verdict with the model's own error rates; what it cannot check it takes for right."""
    question, answer = _last_turn(data["question"]), _last_turn(data["answer"])
    solved = solve(question)
    right = solved is None or solved.is_right(answer)
    valid = model.calls_valid(seed, question, answer, right=right)
    verdict = '{"verdict":"VALID"}' if valid else '{"verdict":"INVALID"}'
    return Reply(verdict, reasoning_tokens=model.reasoning_tokens)


def _last_turn(value: object) -> str:
    """The text in what is judged: a string, the last of several turns, or a turn with tools."""
    match value:
        case str():
            return value
        case [*_, last]:
            return _last_turn(last)
        case {"conversation": inner} | {"text": inner} | {"content": inner}:
            return _last_turn(inner)
        case _:
            return ""


def _asked(request: ChatRequest) -> str:
    """The last user turn."""
    for message in reversed(request.messages):
        if message["role"] == "user":
            return text_of(message)
    return text_of(request.messages[-1])


def _capped(reply: Reply, cap: int | None) -> Reply:
    if cap is None or reply.tokens <= cap:
        return reply
    reasoning_tokens = min(reply.reasoning_tokens, cap // 2)
    text = "".join(_TOKEN.findall(reply.text)[: cap - reasoning_tokens])
    return Reply(text, (), reasoning_tokens, "length")
