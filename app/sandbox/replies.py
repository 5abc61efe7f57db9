"""What a simulated model says: an answer, a tool call, a verdict, or who it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

from app.jsontext import Json, dump_json
from app.sandbox import calls
from app.sandbox.asked import asked_picture, asked_text, has_images
from app.sandbox.calls import ToolCall
from app.sandbox.models import SimModel, chance
from app.sandbox.questions import Solved, solve
from app.sandbox.schemas import fitting
from app.sandbox.tokens import token_count, tokens_of
from app.sandbox.verdicts import judged, verdict
from app.wire import ChatRequest

EFFORTS: Mapping[str, float] = {
    "none": 0.0,
    "minimal": 0.25,
    "low": 0.5,
    "medium": 1.0,
    "high": 2.0,
    "xhigh": 4.0,
}
"""How much longer or shorter than usual a model thinks at each `reasoning_effort`."""

_LEADS = (
    "Let me go through this carefully. I take the given values one by one, apply each step in the "
    "order in which it was asked, and check the result against the question.",
    "I first restate what is asked, then work through the steps without skipping any, and at the "
    "end verify that the result has the form that was asked for.",
)
_ANSWER_SCHEMA: Json = {"type": "object", "properties": {"answer": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `reasoning_tokens` are paid for and not shown, `logprob` is that of any token."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_tokens: int = 0
    finish_reason: str = "stop"
    logprob: float = 0.0

    @property
    def tokens(self) -> int:
        called = sum(token_count(call.name + call.arguments) for call in self.tool_calls)
        return token_count(self.text) + called + self.reasoning_tokens


def reply_to(request: ChatRequest, model: SimModel, *, seed: int) -> Reply:
    """What this model says to this request, cut where the client's stops and token cap say so."""
    if (data := judged(request)) is not None:
        reply = Reply(verdict(data, request, model, seed), reasoning_tokens=model.reasoning_tokens)
    elif rounds := calls.tool_rounds(request):
        reply = _after_tools(rounds, request, model)
    else:
        reply = _answer(request, model, seed)
    effort = EFFORTS.get(request.body.get("reasoning_effort") or "", 1.0)
    reply = replace(reply, reasoning_tokens=round(reply.reasoning_tokens * effort))
    return _capped(_stopped(reply, request), request.token_cap)


def _answer(request: ChatRequest, model: SimModel, seed: int) -> Reply:
    """The right answer to a question of ours, or a slip; made-up calls or a greeting to another."""
    text, picture = asked_text(request), asked_picture(request)
    solved = solve(text, picture)
    may_call = solved is not None and calls.offers(request, solved)
    if solved is None or (solved.tools and not may_call) or _demands_call(request, may_call):
        return _improvised(request, model)
    accuracy = model.accuracy(solved.topic, solved.difficulty)
    question = text if picture is None else f"{text}\n{picture}"
    answer = solved.solution.answer
    if not model.knows(seed, question, accuracy):
        slips = solved.solution.slips
        answer = slips[int(chance(seed, "slip", model.name, question) * len(slips))]
    breaks_form = chance(seed, "format", model.name, question) < model.format_slips
    reply = _formed(answer, request, solved, breaks_form=breaks_form)
    if reply is None:
        reply = Reply(_worded(answer, model, seed, text))
    reasoning_tokens = model.reasoning_tokens * solved.difficulty
    return replace(reply, reasoning_tokens=reasoning_tokens, logprob=log(max(accuracy, 0.01)))


def _demands_call(request: ChatRequest, may_call: bool) -> bool:
    """Whether a tool must be called that the question does not want."""
    choice = request.body.get("tool_choice")
    return bool(request.tools) and not may_call and choice not in (None, "auto", "none")


def _formed(
    answer: str, request: ChatRequest, solved: Solved, *, breaks_form: bool
) -> Reply | None:
    """The answer as tool calls or JSON, sometimes broken; None where it is told in words."""
    if solved.tools:
        made = calls.calls_of(answer, request)
        if breaks_form:
            made = (replace(made[0], arguments=made[0].arguments[:-1]), *made[1:])
        return Reply("", made, finish_reason="tool_calls")
    if not request.wants_json and not answer.startswith("{"):
        return None
    said = _as_json(answer, request, solved)
    if request.wants_json and breaks_form:
        said = f"Here is the JSON you asked for:\n```json\n{said}\n```"
    return Reply(said)


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


def _improvised(request: ChatRequest, model: SimModel) -> Reply:
    """A reply to what is no question of ours."""
    if made := calls.made_up_calls(request):
        return Reply("", made, model.reasoning_tokens, "tool_calls")
    said = (
        f"This is the Autoshift sandbox: {model.name} is simulated and understands only "
        "its own generated questions. Try: What is 17 + 25?"
    )
    if has_images(request) and asked_picture(request) is None:
        said = f"I can make out no picture of coloured squares here. {said}"
    return Reply(_as_asked(said, request))


def _after_tools(rounds: Sequence[Sequence[str]], request: ChatRequest, model: SimModel) -> Reply:
    """What the tools' results lead to: the answer, another try after an error, or an apology."""
    solved = solve(asked_text(request))
    if calls.may_try_again(request):
        knows = solved is not None and calls.offers(request, solved)
        made = (
            calls.calls_of(solved.solution.answer, request)
            if solved is not None and knows
            else calls.repeated_calls(request)
        )
        if made:
            return Reply("", made, model.reasoning_tokens, "tool_calls")
    elif made := calls.made_up_calls(request):
        return Reply("", made, model.reasoning_tokens, "tool_calls")
    results = "\n".join(rounds[-1])
    said = f"The tool says: {results}"
    if calls.failures(rounds):
        said = f"I am sorry, I cannot answer this: the tool failed. It said: {results}"
    return Reply(_as_asked(said, request), reasoning_tokens=model.reasoning_tokens)


def _as_asked(said: str, request: ChatRequest) -> str:
    """The text, as JSON where the client wants that."""
    if not request.wants_json:
        return said
    return dump_json(fitting(request.json_schema or _ANSWER_SCHEMA, said)).decode()


def _stopped(reply: Reply, request: ChatRequest) -> Reply:
    """The reply up to the first of the client's stop sequences, which is left out."""
    given = request.body.get("stop")
    stops = [given] if isinstance(given, str) else given or []
    ends = [at for stop in stops if stop and (at := reply.text.find(stop)) >= 0]
    return replace(reply, text=reply.text[: min(ends)]) if ends else reply


def _capped(reply: Reply, cap: int | None) -> Reply:
    if cap is None or reply.tokens <= cap:
        return reply
    reasoning_tokens = min(reply.reasoning_tokens, cap // 2)
    text = "".join(tokens_of(reply.text)[: cap - reasoning_tokens])
    return Reply(text, (), reasoning_tokens, "length", reply.logprob)
