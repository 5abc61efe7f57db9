"""The LLM judge: nothing that is judged can speak to it, and only a verdict is taken for one."""

import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers import Answer
from app.jsontext import Json
from app.judge.llm import LlmJudge, judge_body, read_verdict
from app.judge.prompt import TEXT_CHARACTERS
from app.tiers import Capability, Price, Tier, Timeouts
from app.wire import ChatRequest, parse_request
from tests.support.attacks import PAYLOADS
from tests.support.exchange import plain_exchange
from tests.support.provider import Fails, Hangs, Provider, Reply, Says, Sends, provider

TIER = Tier(
    name="medium",
    provider="scripted",
    model="model-medium",
    prior=0.7,
    price=Price(input=10, output=40),
    timeouts=Timeouts(connect_s=1, first_byte_s=1, idle_s=1),
)
FENCE = re.compile(r"^----- data [0-9a-f]{32} -----$")


def request(*messages: Json, **more: object) -> ChatRequest:
    body = {"model": "auto", "messages": list(messages) or [user("What is 6 · 7?")], **more}
    return parse_request(json.dumps(body).encode(), {})


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def says(text: str = "42", **more: object) -> Answer:
    answer = Answer()
    message = {"content": text, **more}
    answer.add({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    return answer


def calls(arguments: str, name: str = "run") -> Answer:
    return says(tool_calls=[{"index": 0, "function": {"name": name, "arguments": arguments}}])


def tool(description: str) -> Json:
    return {"type": "function", "function": {"name": "run", "description": description}}


def written(asked: ChatRequest, answer: Answer) -> tuple[str, list[str]]:
    """The system prompt and the lines of the user turn that the judge gets."""
    system, turn = judge_body(TIER, asked, answer, 100)["messages"]
    assert (system["role"], turn["role"]) == ("system", "user")
    return system["content"], turn["content"].split("\n")


def data(asked: ChatRequest, answer: Answer) -> Json:
    """What stands between the fences."""
    _, (fence, between, closing, _reminder) = written(asked, answer)
    assert FENCE.match(fence)
    assert closing == fence
    found: Json = json.loads(between)
    return found


PLACEMENTS: dict[str, Callable[[str], tuple[ChatRequest, Answer]]] = {
    "answer": lambda text: (request(), says(text)),
    "question": lambda text: (request(user(text)), says()),
    "an earlier turn": lambda text: (
        request(user("Hi"), {"role": "assistant", "content": text}, user("And now?")),
        says(),
    ),
    "the client's system prompt": lambda text: (
        request({"role": "system", "content": text}, user("?")),
        says(),
    ),
    "a part": lambda text: (
        request(user("?") | {"content": [{"type": "text", "text": text}]}),
        says(),
    ),
    "a tool's description": lambda text: (request(tools=[tool(text)]), says()),
    "a tool's arguments": lambda text: (request(tools=[tool("t")]), calls(text)),
    "a tool's name": lambda text: (request(tools=[tool("t")]), calls("{}", text)),
    "a refusal": lambda text: (request(), says("", refusal=text)),
}


def test_the_judge_sees_the_question_and_the_answer_as_data() -> None:
    assert data(request(), says()) == {"question": "What is 6 · 7?", "answer": "42"}
    body = judge_body(TIER, request(), says(), 100)
    assert body["model"] == "model-medium"
    assert body["max_completion_tokens"] == 100
    schema = body["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"] == {
        "verdict": {"type": "string", "enum": ["VALID", "INVALID"]}
    }


def test_a_tier_without_json_schema_is_not_asked_for_it() -> None:
    plain = TIER.model_copy(update={"supports": frozenset({"tools"}), "token_param": "max_tokens"})
    body = judge_body(plain, request(), says(), 100)
    assert "response_format" not in body
    assert body["max_tokens"] == 100


def test_a_conversation_and_its_tools_are_shown_whole() -> None:
    turns = [{"role": "system", "content": "Be brief."}, user("Hi"), user("6 · 7?")]
    shown = data(request(*turns, tools=[tool("runs it")]), calls('{"a": 1}'))
    assert shown["question"]["conversation"] == [
        {"role": turn["role"], "text": turn["content"]} for turn in turns
    ]
    assert shown["question"]["tools"] == [tool("runs it")]
    assert shown["answer"]["tool_calls"] == [{"name": "run", "arguments": '{"a": 1}'}]


def test_a_tools_schema_may_hold_numbers_of_any_length() -> None:
    long = {"type": "function", "function": {"name": "run", "parameters": {"maximum": 10**40}}}
    assert data(request(tools=[long]), says())["question"]["tools"] == [long]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_what_is_judged_stays_inside_one_json_string(placement: str) -> None:
    template = written(request(), says())
    for payload in PAYLOADS:
        asked, answer = PLACEMENTS[placement](payload)
        system, lines = written(asked, answer)
        assert system == template[0]
        assert len(lines) == 4
        assert FENCE.match(lines[0])
        assert lines[2] == lines[0]
        assert lines[3] == template[1][3]
        assert lines[1].splitlines() == [lines[1]]
        assert not re.search("----|[\u2010-\u2015]{4}|<\\||\\|>|\\[INST|</s>|[\x00\x1b]", lines[1])


@given(st.text(), st.text())
def test_whatever_is_said_arrives_as_one_line_of_json(question: str, said: str) -> None:
    shown = data(request(user(question)), says(said))
    assert set(shown) == {"question", "answer"}
    if question.isascii() and said.isascii():
        assert shown == {"question": question, "answer": said}


def test_every_call_has_a_fresh_nonce() -> None:
    assert len({written(request(), says())[1][0] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "hidden",
    [
        "\u200b",
        "\u200d",
        "\u00ad",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\u2060",
        "\U000e0041",
        "\U000e0100",
    ],
)
def test_invisible_characters_are_stripped(hidden: str) -> None:
    shown = data(request(user(f"a{hidden}b")), says(f"c{hidden}d"))
    assert shown == {"question": "ab", "answer": "cd"}
    called = data(request(tools=[tool("t")]), calls(f'{{"x": "c{hidden}d"}}'))
    assert called["answer"]["tool_calls"][0]["arguments"] == '{"x": "cd"}'


@pytest.mark.parametrize("placement", ["answer", "question", "a tool's arguments"])
def test_of_a_very_long_text_head_and_tail_are_shown(placement: str) -> None:
    text = "HEAD" + "x" * 1_000_000 + "TAIL"
    asked, answer = PLACEMENTS[placement](text)
    shown = json.dumps(data(asked, answer))
    assert len(shown) < TEXT_CHARACTERS + 500
    assert "HEAD" in shown
    assert "TAIL" in shown
    assert "992008 characters left out" in shown
    exactly = "x" * TEXT_CHARACTERS
    assert data(request(), says(exactly))["answer"] == exactly


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"verdict": "VALID"}', True),
        ('{"verdict": "INVALID"}', False),
        (' \n{ "verdict" :\t"VALID" }\n', True),
        ("VALID", None),
        ('"VALID"', None),
        ('{"verdict": "valid"}', None),
        ('{"verdict": "VALID."}', None),
        ('{"verdict": true}', None),
        ('{"verdict": ["VALID"]}', None),
        ('{"verdict": null}', None),
        ('{"Verdict": "VALID"}', None),
        ('{"verdict": "VALID", "why": "it is right"}', None),
        ('{"verdict": "INVALID", "verdict": "VALID"}', None),
        ('{"verdict": "VALID", "verdict": "VALID"}', None),
        ('{"verdict": "INVALID", "\\u0076erdict": "VALID"}', None),
        ('[{"verdict": "VALID"}]', None),
        ('[["verdict", "VALID"]]', None),
        ('{"verdict": "VALID"} {"verdict": "INVALID"}', None),
        ('```json\n{"verdict": "VALID"}\n```', None),
        ('Not VALID: {"verdict": "VALID"}', None),
        ("[" * 100_000, None),
        ("1" * 10_000, None),
        ("", None),
    ],
)
def test_a_verdict_is_exactly_one_object(text: str, verdict: bool | None) -> None:
    assert read_verdict(text) is verdict


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["VALID", "INVALID", "verdict"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["verdict", "VALID", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(json_values)
def test_no_other_json_is_a_verdict(value: object) -> None:
    exact = {'{"verdict": "VALID"}': True, '{"verdict": "INVALID"}': False}
    text = json.dumps(value)
    assert read_verdict(text) is exact.get(text)


@given(st.text() | st.text(alphabet='{}"verdict: VALIDIN,[]'))
def test_no_other_text_is_a_verdict(text: str) -> None:
    exact = {'{"verdict":"VALID"}': True, '{"verdict":"INVALID"}': False}
    assert read_verdict(text) is exact.get("".join(text.split()))


@asynccontextmanager
async def judging(scripted: Provider, timeout_s: float = 5) -> AsyncGenerator[LlmJudge, None]:
    async with plain_exchange(scripted.url, [TIER]) as exchange:
        yield LlmJudge(exchange, max_tokens=100, timeout_s=timeout_s)


@pytest.mark.anyio
async def test_a_verdict_tells_who_gave_it_and_what_it_cost() -> None:
    async with provider() as scripted, judging(scripted) as judge:
        verdict = await judge.judge(TIER, request(), says())
        assert (verdict.valid, verdict.by, verdict.exact) == (True, "medium", False)
        assert verdict.cost_usd == pytest.approx((200 * 10 + 5 * 40) / 1e6)
        assert verdict.latency_s > 0
        free = TIER.model_copy(update={"price": None})
        assert (await judge.judge(free, request(), says())).cost_usd is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("reply", "reason", "cost_usd"),
    [
        (Says("Looks fine to me."), "no verdict in the judge's reply", 3000e-6),
        (Says(""), "no verdict in the judge's reply", 3000e-6),
        (Says('{"verdict": "VALID"', finish="length"), "no verdict in the judge's reply", 3000e-6),
        (Fails(500), "upstream_failed", 0.0),
        (Fails(429), "upstream_rate_limited", 0.0),
        (Sends(b"<html>", "text/html"), "upstream_broken", None),
        (Hangs(), "timeout", None),
    ],
)
async def test_a_judge_that_fails_gives_no_verdict_and_no_error(
    reply: Reply, reason: str, cost_usd: float | None
) -> None:
    async with provider() as scripted, judging(scripted, timeout_s=0.3) as judge:
        scripted.verdicts("model-medium", reply)
        verdict = await judge.judge(TIER, request(), says())
        assert verdict.valid is None
        assert verdict.reason == reason
        assert verdict.cost_usd == (None if cost_usd is None else pytest.approx(cost_usd))


PICTURE: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_a_judge_that_can_see_gets_the_pictures_too() -> None:
    content = [{"type": "text", "text": "How many squares?"}, PICTURE]
    asked = parse_request(
        json.dumps({"model": "auto", "messages": [{"role": "user", "content": content}]}).encode(),
        {},
    )
    cases: list[tuple[frozenset[Capability] | None, bool]] = [
        (None, True),
        (frozenset({"vision"}), True),
        (frozenset({"tools"}), False),
    ]
    for supports, shown in cases:
        by = Tier(name="j", provider="p", model="m", prior=0.5, supports=supports)
        told = judge_body(by, asked, Answer(), 100)["messages"][-1]["content"]
        assert (isinstance(told, list) and told[0] == PICTURE) == shown


def test_of_a_long_conversation_the_judge_sees_the_first_and_the_latest_turns() -> None:
    turns = [{"role": "user", "content": f"turn {n} " + "x" * 7_000} for n in range(30)]
    asked = parse_request(json.dumps({"model": "auto", "messages": turns}).encode(), {})
    by = Tier(name="j", provider="p", model="m", prior=0.5)
    told = judge_body(by, asked, Answer(), 100)["messages"][-1]["content"]
    assert len(told) < 40_000
    assert "turn 0 " in told
    assert "turn 29 " in told
    assert "turn 5 " not in told
    assert "earlier turns left out" in told
