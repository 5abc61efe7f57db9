"""What is played to every client, and what each must then have seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from typing_extensions import Unpack

from tests.clients.answers import (
    COMPLETION_TOKENS,
    DONE,
    PROMPT_TOKENS,
    USAGE,
    Streaming,
    calls,
    event,
    fails,
    fills,
    says,
    streams,
    usage_event,
    verdict,
)
from tests.clients.upstream import Asked, Json, Play, Reply

# Three comments, and after a minute the delta that those who count chunks wait for.
HELD_S: Final = 70.0

PARTS = ("Zwölf plus dreißig ist 42 🙂", "\u2028\u0085 ", '"\\n" {"a": 1}')
TEXT = "".join(PARTS)
USED = [PROMPT_TOKENS, COMPLETION_TOKENS]
ANSWER: Json = {"text": TEXT, "finish": "stop"}
BONN = ["call_1", "weather", {"city": "Bonn"}]
ADA: Json = {"name": "Ada", "age": 36}
LARGE = "x" * 300_000
TOO_LONG = "Input tokens exceed the configured limit of 1000 tokens."


@dataclass(frozen=True, slots=True)
class Scenario:
    """`expected`: what the client sees at least; `asked`: the tiers that answered, if it matters.

    `raised` in it is a subset too; an empty one means: any error, of the class for broken streams.
    """

    name: str
    action: str
    play: Play
    expected: Mapping[str, object]
    model: str = "auto"
    retries: int = 0
    asked: Sequence[str] | None = None
    slow: bool = False
    not_for: Sequence[str] = ()


def climbs(small: Play, medium: Play) -> Play:
    """The small tier's answer is refused by the judge, the next one's is accepted."""

    def play(asked: Asked) -> Reply:
        if asked.judging:
            return verdict(asked.tier != "medium")(asked)
        return (small if asked.tier == "small" else medium)(asked)

    return play


def accepted(answer: Play) -> Play:
    """Every tier gives this answer and every judge accepts it."""
    return lambda asked: (verdict(True) if asked.judging else answer)(asked)


def tool_loop(**how: Unpack[Streaming]) -> Play:
    """A tool call, and an answer once its result is there."""
    call, answer = calls("weather", '{"city":"Bonn"}', **how), says(*PARTS)
    return accepted(lambda asked: (answer if asked.after_tool else call)(asked))


def at_first(failure: Play, then: Play) -> Play:
    """Every tier fails once."""
    return accepted(lambda asked: (then if asked.nth else failure)(asked))


OPENING = event({"role": "assistant", "content": ""}) + event({"content": PARTS[0]})
REST = b"".join(event({"content": part}) for part in PARTS[1:]) + event({}, "stop")
WHOLE = OPENING + REST + usage_event() + DONE
ODD = (
    b"\xef\xbb\xbf: hello\r\n\r\nid: 7\r\nretry: 10\r\nevent: message\r\n"
    + OPENING.replace(b"\n", b"\r\n").replace(b"data: ", b"data:")
    + b": ping\n\n"
    + event({})
    + REST.replace(b',"choices"', b',\ndata: "choices"')
    + usage_event()
    + DONE[:-1]
)
USAGE_EVERYWHERE = (
    event({"role": "assistant", "content": PARTS[0]}, usage=USAGE)
    + event({"content": PARTS[1]}, usage=USAGE)
    + event({"content": PARTS[2]}, "stop", usage=USAGE)
    + usage_event()
    + DONE
)
ERROR_EVENT = b'data: {"error": {"message": "broke", "type": "server_error", "code": null}}\n\n'
# In the middle of a line, and of a character.
CUT_SHORT = OPENING + REST[: REST.index(b"\xe2\x80\xa8") + 1]


def _streams() -> list[Scenario]:
    told: Json = {**ANSWER, "usage": USED}
    return [
        Scenario("stream", "stream", accepted(says(*PARTS)), {**ANSWER, "pieces": 3}),
        Scenario("stream-usage", "stream_usage", accepted(says(*PARTS)), told, asked=["small"]),
        Scenario(
            "stream-escalated",
            "stream_usage",
            climbs(says("wrong"), says(*PARTS)),
            told,
            asked=["small", "medium"],
        ),
        Scenario(
            "stream-held",
            "stream_usage",
            accepted(says(*PARTS, first_after_s=HELD_S)),
            told,
            asked=["small"],
            slow=True,
        ),
        _live("stream-live", says(*PARTS), {**told, "pieces": 3}),
        _live("stream-by-byte", streams(*(WHOLE[i : i + 1] for i in range(len(WHOLE)))), told),
        _live("stream-odd-frames", streams(ODD), told),
        _live("stream-usage-often", streams(USAGE_EVERYWHERE), told),
        _live("stream-without-role", streams(REST, DONE), {"text": "".join(PARTS[1:])}),
        _live("stream-without-done", streams(OPENING, REST), ANSWER),
        _live("stream-large-delta", says(LARGE), {"text": LARGE}),
        _live("stream-length", says("cut", finish="length"), {"finish": "length"}),
    ]


def _live(name: str, play: Play, expected: Json) -> Scenario:
    """A stream from a pinned tier, whose chunks are passed on as they come."""
    action = "stream_usage" if "usage" in expected else "stream"
    return Scenario(name, action, play, expected, model="large", asked=["large"])


def _plain() -> list[Scenario]:
    told: Json = {**ANSWER, "usage": USED}
    return [
        Scenario("plain", "plain", accepted(says(*PARTS)), told, asked=["small"]),
        Scenario("plain-alias", "plain", accepted(says(*PARTS)), told, model="gpt-4o"),
        Scenario("plain-pinned", "plain", says(*PARTS), told, model="large", asked=["large"]),
        Scenario(
            "plain-escalated",
            "plain",
            climbs(says("wrong"), says(*PARTS)),
            told,
            asked=["small", "medium"],
        ),
        Scenario(
            "plain-length",
            "plain",
            says("cut", finish="length"),
            {"finish": "length"},
            model="large",
        ),
    ]


def _tools() -> list[Scenario]:
    seen: Json = {"calls": [BONN], "text": TEXT}
    return [
        Scenario("tools", "tools", tool_loop(), seen),
        Scenario("tools-stream", "tools_stream", tool_loop(), seen),
        Scenario("tools-stream-live", "tools_stream", tool_loop(), seen, model="large"),
        Scenario("tools-in-one-delta", "tools_stream", tool_loop(pieces=1), seen),
        Scenario("tools-id-repeated", "tools_stream", tool_loop(repeats_id=True), seen),
        Scenario("tools-without-index", "tools_stream", tool_loop(numbered=False), seen),
    ]


def _structured() -> list[Scenario]:
    ill_formed, well_formed = fills({"name": 5}), fills(ADA)
    found: list[Scenario] = []
    for action in ("structured", "structured_stream"):
        name = action.replace("_", "-")
        found += [
            Scenario(name, action, accepted(well_formed), {"value": ADA}, asked=["small"]),
            Scenario(f"{name}-live", action, well_formed, {"value": ADA}, model="large"),
            Scenario(
                f"{name}-escalated",
                action,
                # The schema alone refuses the small tier's answer: every judge would accept it.
                lambda asked: (
                    verdict(True)
                    if asked.judging
                    else (ill_formed if asked.tier == "small" else well_formed)
                )(asked),
                {"value": ADA},
                asked=["small", "medium"],
            ),
        ]
    again = at_first(ill_formed, well_formed)
    found.append(
        Scenario("structured-asked-again", "asks_again", again, {"value": ADA}, model="large")
    )
    return found


def _errors() -> list[Scenario]:
    """Each as a plain reply and before the first byte of a stream; nothing is tried again."""
    ladder = ["small", "medium", "large"]
    failures: list[tuple[str, str, Play, Json, list[str]]] = [
        ("unknown-model", "no-such", says("never"), _raised(404, "model_not_found"), []),
        (
            "too-long",
            "auto",
            fails(400, "context_length_exceeded", message=TOO_LONG),
            _raised(400, "context_length_exceeded"),
            ladder,
        ),
        ("key-refused", "auto", fails(401), _raised(502, "upstream_auth"), ladder),
        ("tiers-down", "auto", fails(500), _raised(502, "upstream_failed"), ladder),
        (
            "rate-limited",
            "auto",
            fails(429, headers=["retry-after: 7"]),
            {**_raised(429, "upstream_rate_limited"), "retry_after": "7"},
            ladder,
        ),
    ]
    return [
        Scenario(f"{name}-{action}", action, play, {"raised": raised}, model, asked=asked)
        for name, model, play, raised, asked in failures
        for action in ("plain", "stream")
    ]


def _raised(status: int, code: str) -> Json:
    return {"status": status, "code": code}


def _retries() -> list[Scenario]:
    """What waiting cures is tried again; where every tier has failed, the client need not."""
    limited, answer = fails(429, headers=["retry-after: 1"]), says(*PARTS)
    twice = ["small", "medium", "large", "small"]
    cured = [
        Scenario(
            f"retry-{action}", action, at_first(limited, answer), ANSWER, retries=2, asked=twice
        )
        for action in ("plain", "stream")
    ]
    futile = Scenario(
        "no-retry",
        "plain",
        fails(500),
        {"raised": _raised(502, "upstream_failed")},
        retries=2,
        asked=["small", "medium", "large"],
        not_for=["vercel-ai"],  # it does not know the header that tells
    )
    return [*cured, futile]


def _broken() -> list[Scenario]:
    """Streams that end in the middle: those that flow live raise, those that are held climb."""
    seen: Json = {"text": PARTS[0], "raised": {}}
    broken = {
        "closed": streams(OPENING, pause_s=0.1),
        "closed-in-a-line": streams(OPENING, CUT_SHORT.removeprefix(OPENING), pause_s=0.1),
        "done-too-early": streams(OPENING, DONE, pause_s=0.1),
        "cut": streams(OPENING, pause_s=0.1, ending="cut"),
        "reset": streams(OPENING, pause_s=0.1, ending="reset"),
        "error-event": streams(OPENING, ERROR_EVENT, DONE, pause_s=0.1),
        "garbage": streams(OPENING, b"data: {not json}\n\n", pause_s=0.1),
    }
    live = [_live(f"broken-{how}", play, seen) for how, play in broken.items()]
    held = Scenario(
        "broken-unseen",
        "stream",
        climbs(broken["reset"], says(*PARTS)),
        ANSWER,
        asked=["small", "medium"],
    )
    return [*live, held]


SCENARIOS: Final = (
    *_plain(),
    *_streams(),
    *_tools(),
    *_structured(),
    *_errors(),
    *_retries(),
    *_broken(),
)
