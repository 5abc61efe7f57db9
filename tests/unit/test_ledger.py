"""The ledger finds every kind of contradiction it is there to find."""

from dataclasses import replace

import httpx
import orjson
import pytest

from app.records import Record, Verdict
from tests.support.ledger import Exchange, Given, discrepancies
from tests.support.records import new_id, record

ID = new_id()
MODELS = {"small": {"model-small"}, "large": {"model-large"}}
GIVEN = [Given("model-small", "four", whole=True)]
TOLD = {"decision": ID, "tier": "small"}


def plain(text: str = "four", **told: object) -> Exchange:
    message = {"role": "assistant", "content": text}
    body = {"choices": [{"index": 0, "message": message}], "autoshift": {**TOLD, **told}}
    return Exchange(200, httpx.Headers(), bytearray(orjson.dumps(body)), ended=True)


def stream(*events: bytes, ended: bool = True) -> Exchange:
    body = b"".join(b"data: " + event + b"\n\n" for event in events)
    headers = httpx.Headers({"content-type": "text/event-stream"})
    return Exchange(200, headers, bytearray(body), ended=ended)


def chunk(text: str, **more: object) -> bytes:
    return orjson.dumps({"choices": [{"index": 0, "delta": {"content": text}}], **more})


LAST = chunk("", autoshift=TOLD)
DONE = b"[DONE]"
ERROR = b'{"error": {"message": "no"}}'


def found(
    exchange: Exchange, given: list[Given] = GIVEN, kept: dict[str, list[Record]] | None = None
) -> list[str]:
    return discrepancies(
        [exchange], given, {ID: [record(ID)]} if kept is None else kept, models=MODELS
    )


@pytest.mark.parametrize(
    "exchange",
    [
        plain(),
        stream(chunk("fo"), chunk("ur"), LAST, DONE),
        stream(chunk("fo"), ERROR),
        stream(chunk("fo"), ended=False),
        Exchange(503, httpx.Headers(), bytearray(ERROR), ended=True),
    ],
    ids=["plain", "stream", "failed stream", "cut stream", "error"],
)
def test_logs_that_agree_have_no_discrepancy(exchange: Exchange) -> None:
    assert found(exchange) == []


@pytest.mark.parametrize(
    ("exchange", "says"),
    [
        (plain("five"), "never gave"),
        (plain(tier="large"), "never gave"),
        (stream(chunk("fo"), LAST, DONE), "never gave"),
        (stream(chunk("four"), LAST, DONE, DONE), "ended 2 times"),
        (stream(chunk("four"), LAST, DONE, ERROR), "with 1 errors"),
        (stream(chunk("four"), LAST), "clean end"),
        (stream(LAST, DONE, chunk("four")), "goes on"),
        (stream(chunk("four"), DONE), "told nothing"),
        (Exchange(500, httpx.Headers(), bytearray(b"{}"), ended=True), "envelope"),
    ],
)
def test_a_reply_that_breaks_its_contract_is_found(exchange: Exchange, says: str) -> None:
    assert [says in each for each in found(exchange)] == [True]


def test_what_was_acknowledged_and_is_not_kept_just_once_is_found() -> None:
    assert "kept 0 times" in found(plain(), kept={})[0]
    assert "kept 2 times" in found(plain(), kept={ID: [record(ID), record(ID)]})[0]
    twice = discrepancies([plain(), plain()], 2 * GIVEN, {ID: [record(ID)]}, models=MODELS)
    assert [each for each in twice if "told twice" in each]


def test_a_verdict_on_what_was_no_answer_is_found() -> None:
    kept = record(ID)
    judged = replace(kept.attempts[0], outcome="failed", verdicts=[Verdict(False, "large")])
    assert "yet it was judged" in found(plain(), kept={ID: [replace(kept, attempts=[judged])]})[0]


def test_more_whole_answers_than_the_provider_gave_are_found() -> None:
    cut = [Given("model-small", "four", whole=False)]
    assert any("gave 0" in each for each in found(stream(LAST, ERROR), given=cut))
