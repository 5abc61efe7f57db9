"""Feedback: who may give it, what is kept of it, and that it is never taken in vain."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from typing_extensions import override

from app.accounts.keyring import UNKEYED
from app.api.feedback import WORDS_A_DECISION, Feedback
from app.api.fields import Fields
from app.audience import Audience
from app.clock import SystemClock
from app.policies.fixed import Always
from app.policy import Policy
from app.records import Record
from app.store import EdgeStore, Outbox
from tests.support.gateway import Gateway, Json, gateway
from tests.support.provider import Says
from tests.support.records import holds, insert, new_id, record, running
from tests.support.scripted_store import ScriptedStore

pytestmark = pytest.mark.anyio

NOBODYS = new_id()


async def said_about(gate: Gateway, decision: str) -> list[Json]:
    """The evidence about a decision, in the order it was given."""
    told = await gate.decision(decision)
    return sorted(told["evidence"].values(), key=lambda evidence: evidence["time_s"])


async def decided(gate: Gateway, model: str = "auto") -> str:
    reply = await gate.ask(model=model)
    assert reply.status_code == 200
    decision: str = reply.headers["x-autoshift-decision"]
    return decision


async def refusal(gate: Gateway, body: object) -> tuple[int, Json]:
    reply = await gate.http.post("/v1/feedback", json=body)
    error: Json = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return reply.status_code, error


@pytest.mark.parametrize("path", ["/v1/feedback", "/feedback"])
async def test_a_word_about_an_answer_is_told_with_the_decision(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path) as gate:
        decision = await decided(gate)
        reply = await gate.http.post(path, json={"decision": decision, "correct": False})
        assert (reply.status_code, reply.json()) == (
            200,
            {
                "object": "autoshift.feedback",
                "decision": decision,
                "accepted": True,
                "source": "feedback",
                "by": "user",
                "comment_kept": False,
            },
        )
        (said,) = await said_about(gate, decision)
        assert (said["source"], said["valid"], said["by"]) == ("feedback", False, "user")


async def test_openais_client_can_give_feedback(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        async with AsyncOpenAI(base_url=f"{gate.url}/v1", api_key="none") as client:
            answer = await client.chat.completions.with_raw_response.create(
                model="auto", messages=[{"role": "user", "content": "What is 2 + 2?"}]
            )
            decision = answer.headers["x-autoshift-decision"]
            body = {"decision": decision, "score": 0.25, "by": "rater-7"}
            told = await client.post("/feedback", body=body, cast_to=dict[str, object])
        assert told["accepted"] is True
        (said,) = await said_about(gate, decision)
        assert (said["valid"], said["score"], said["by"]) == (None, 0.25, "rater-7")


async def test_a_right_answer_is_kept_as_a_digest_that_fits_the_attempts(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Says("Let me see.\n\nThe answer is 1,000.0"))
        decision = await decided(gate)
        for number, answer in enumerate(("**1000**", "999"), start=1):
            body = {"decision": decision, "correct_answer": answer, "by": f"user-{number}"}
            assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200
        right, wrong = await said_about(gate, decision)
        attempt, *_ = (await gate.decision(decision))["attempts"]
        assert attempt["final_answer"] == right["correct"] != wrong["correct"]


@pytest.mark.parametrize("text", ["none", "excerpt"])
async def test_a_comment_is_kept_only_where_texts_are(tmp_path: Path, text: str) -> None:
    async with gateway(tmp_path, records={"text": text}) as gate:
        decision = await decided(gate)
        body = {"decision": decision, "comment": "The zebra is wrong.", "correct": False}
        reply = await gate.http.post("/v1/feedback", json=body)
        kept = text == "excerpt"
        assert reply.json()["comment_kept"] is kept
        (said,) = await said_about(gate, decision)
        assert said["comment"] == ("The zebra is wrong." if kept else None)
        assert holds(tmp_path, b"zebra") is kept


async def test_an_outcome_is_kept_by_its_word(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        decision = await decided(gate)
        for word, correct in (("tests_failed", False), ("tests_passed", True)):
            body = {"decision": decision, "outcome": word, "correct": correct, "by": "ci"}
            reply = await gate.http.post("/v1/feedback", json=body)
            assert reply.json()["source"] == "outcome"
        said = await said_about(gate, decision)
        assert [(each["comment"], each["valid"]) for each in said] == [
            ("tests_failed", False),
            ("tests_passed", True),
        ]
        assert {each["source"] for each in said} == {"outcome"}


async def test_who_thinks_again_is_heard_and_who_repeats_himself_is_kept_once(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        decision = await decided(gate)
        for correct in (True, True, False, False, True, True):
            body = {"decision": decision, "correct": correct}
            assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200
        said = await said_about(gate, decision)
        assert [each["valid"] for each in said] == [True, False, True]


async def test_there_is_an_end_to_changes_of_mind(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        decision = await decided(gate)
        for number in range(WORDS_A_DECISION):
            body = {"decision": decision, "score": number / 1000}
            assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200
        status, error = await refusal(gate, {"decision": decision, "score": 1})
        assert (status, error["code"]) == (400, "too_much_feedback")


async def test_feedback_on_a_pinned_request_is_kept_on_its_ledger_row(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        decision = await decided(gate, model="large")
        body = {"decision": decision, "correct": True}
        assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200
        (said,) = await said_about(gate, decision)
        assert said["valid"] is True
        assert (await gate.decision(decision))["kind"] == "pinned"


async def test_anothers_decision_is_as_unknown_as_one_that_never_was(tmp_path: Path) -> None:
    theirs = record(tenant="other")
    async with gateway(tmp_path) as gate:
        tag = (await gate.decision(await decided(gate)))["embedder"]
    store = EdgeStore(tmp_path, dimension=int(tag.rpartition("/")[2]))
    await store.open()
    await store.write([insert(theirs)])
    await store.close()
    async with gateway(tmp_path) as gate:
        for decision in (theirs.id, NOBODYS):
            status, error = await refusal(gate, {"decision": decision, "correct": True})
            assert (status, error["param"], error["code"]) == (404, "decision", "not_found")
    await store.open()
    assert await store.get(theirs.id, tenant="other") == theirs
    await store.close()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "decision"),
        ([], None),
        ("correct", None),
        ({"decision": NOBODYS}, "correct"),
        ({"decision": None, "correct": True}, "decision"),
        ({"decision": 7, "correct": True}, "decision"),
        ({"decision": " ", "correct": True}, "decision"),
        ({"decision": "x" * 65, "correct": True}, "decision"),
        ({"decision": NOBODYS, "correct": "yes"}, "correct"),
        ({"decision": NOBODYS, "correct": 1}, "correct"),
        ({"decision": NOBODYS, "score": 1.01}, "score"),
        ({"decision": NOBODYS, "score": -0.01}, "score"),
        ({"decision": NOBODYS, "score": True}, "score"),
        ({"decision": NOBODYS, "score": "0.5"}, "score"),
        ({"decision": NOBODYS, "comment": ""}, "comment"),
        ({"decision": NOBODYS, "comment": "x" * 4001}, "comment"),
        ({"decision": NOBODYS, "correct_answer": ["4"]}, "correct_answer"),
        ({"decision": NOBODYS, "correct_answer": "x" * 300_000}, "correct_answer"),
        ({"decision": NOBODYS, "outcome": "tests_passed"}, "correct"),
        ({"decision": NOBODYS, "outcome": "two words", "correct": True}, "outcome"),
        ({"decision": NOBODYS, "correct": True, "by": "x" * 65}, "by"),
        ({"decision": NOBODYS, "rating": 5}, "rating"),
    ],
)
async def test_what_is_wrong_is_named(tmp_path: Path, body: object, param: str | None) -> None:
    async with gateway(tmp_path) as gate:
        status, error = await refusal(gate, body)
        assert (status, error["param"]) == (400, param), error
        if param == "rating":
            assert "correct_answer" in error["message"]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"decision": NaN}', "application/json", 400),
        (b'{"decision": "\\ud800"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"score": 1e999999, "decision": "x"}', "application/json", 400),
        (b'{"score": ' + b"9" * 5000 + b', "decision": "x"}', "application/json", 400),
        (b"\x00\xff" * 1000, "application/json", 400),
        (b"decision=1", "application/x-www-form-urlencoded", 415),
        (b'{"comment": "' + b"x" * 2_000_000 + b'"}', "application/json", 413),
    ],
)
async def test_a_hostile_body_is_refused_in_the_envelope(
    tmp_path: Path, content: bytes, content_type: str, status: int
) -> None:
    async with gateway(tmp_path) as gate:
        headers = {"content-type": content_type}
        reply = await gate.http.post("/v1/feedback", content=content, headers=headers)
        assert reply.status_code == status, reply.text
        assert reply.json()["error"]["type"] == "invalid_request_error"
        assert (await gate.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("hostile", ["../../x", "%00", "\x00", "é" * 60, "' OR 1=1 --", "*", "[]"])
async def test_a_hostile_id_is_nobodys_decision(tmp_path: Path, hostile: str) -> None:
    async with gateway(tmp_path) as gate:
        status, _ = await refusal(gate, {"decision": hostile, "correct": True})
        assert status == 404


async def test_an_outbox_that_takes_nothing_is_no_silent_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSHIFT_STORE__OUTBOX_BYTES", "8192")
    async with gateway(tmp_path) as gate:
        decision = await decided(gate)
        bodies = [{"decision": decision, "correct": True, "by": f"user-{n}"} for n in range(40)]
        replies = [await gate.http.post("/v1/feedback", json=body) for body in bodies]
        refused = [reply for reply in replies if reply.status_code != 200]
        assert {reply.status_code for reply in refused} == {503}
        assert refused[0].json()["error"]["code"] == "outbox_failed"
        assert refused[0].headers["retry-after"]
        assert len(await said_about(gate, decision)) == len(replies) - len(refused)


async def test_with_the_store_down_the_client_is_told_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSHIFT_STORE__URL", "http://127.0.0.1:1")
    async with gateway(tmp_path) as gate:
        status, error = await refusal(gate, {"decision": NOBODYS, "correct": True})
        assert (status, error["code"]) == (503, "store_down")
        # What has not been delivered yet is known, and can be spoken about.
        decision = await decided(gate)
        body = {"decision": decision, "correct": True}
        assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200


async def test_many_words_at_once_are_all_kept(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        decision = await decided(gate)
        bodies = [
            {"decision": decision, "score": random.Random(n).random(), "by": f"user-{n}"}  # noqa: S311
            for n in range(20)
        ]
        replies = await asyncio.gather(
            *(gate.http.post("/v1/feedback", json=body) for body in bodies)
        )
        assert [reply.status_code for reply in replies] == [200] * 20
        said = await said_about(gate, decision)
        assert {each["by"]: each["score"] for each in said} == {
            body["by"]: body["score"] for body in bodies
        }


@dataclass(frozen=True)
class Listens(Always):
    """A policy that keeps what it observes; and then fails, if it is told to."""

    heard: list[Record] = field(default_factory=list)
    fails: bool = False

    @override
    def observe(self, record: Record) -> None:
        self.heard.append(record)
        if self.fails:
            raise RuntimeError("cannot learn that")


@pytest.mark.parametrize("fails", [False, True])
async def test_every_policy_hears_of_it_and_may_fail(tmp_path: Path, fails: bool) -> None:
    policies, kept = (Listens("small", fails=fails), Listens("large")), record()
    async with running(ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 20)) as recorder:
        recorder.submit(kept, None)
        named: dict[str, Policy] = {policy.name: policy for policy in policies}
        audience = Audience(recorder, policies=named)
        feedback = Feedback(
            recorder=recorder, audience=audience, clock=SystemClock(), keep_comments=False
        )
        for number in (1, 2, 2):
            body = {"decision": kept.id, "score": number / 2}
            assert (await feedback.take(Fields(body, body), UNKEYED))["accepted"] is True
            await audience.catch_up()
    for policy in policies:
        heard = [[each.score for each in record.evidence.values()] for record in policy.heard]
        assert heard == [[0.5], [0.5, 1.0]]


@pytest.mark.parametrize("change", [{"learn": False}, {"outcome": "failed"}])
async def test_no_policy_hears_of_what_must_not_teach(tmp_path: Path, change: Json) -> None:
    policy, kept = Listens("small"), record()
    for name, value in change.items():
        setattr(kept, name, value)
    async with running(ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 20)) as recorder:
        recorder.submit(kept, None)
        audience = Audience(recorder, policies={policy.name: policy})
        feedback = Feedback(
            recorder=recorder, audience=audience, clock=SystemClock(), keep_comments=False
        )
        body = {"decision": kept.id, "correct": True}
        assert (await feedback.take(Fields(body, body), UNKEYED))["accepted"] is True
        await audience.catch_up()
        found = await recorder.get(kept.id, tenant="local")
        assert found is not None
        assert len(found.evidence) == 1
    assert policy.heard == []
