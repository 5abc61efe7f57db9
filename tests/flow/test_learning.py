"""Learning from records, through the door: what is remembered, what is not, and what it changes."""

import socket
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, Json, gateway, metric, until
from tests.support.provider import INVALID, VALID, Fails, Says

pytestmark = pytest.mark.anyio

EASY = [
    f"What is the capital city of {country}?"
    for country in ("Norway", "Sweden", "Denmark", "Finland", "Iceland", "Ireland", "Estonia")
]
HARD = [
    f"Solve the differential equation y'' + {n} y' + {n} y = sin({n} x) for y."
    for n in (2, 3, 4, 5, 6, 7, 8)
]


async def delivered(gate: Gateway) -> None:
    """Wait until every record is in the store."""

    async def nothing_waits() -> bool:
        return bool((await gate.http.get("/readyz")).json()["outbox_entries"] == 0)

    await until(nothing_waits)


async def ask(gate: Gateway, text: str, *, small_suffices: bool, model: str = "auto") -> Json:
    """The decision about this question, of the kind that small can or cannot answer."""
    gate.provider.answers("model-small", Says("13"))
    gate.provider.answers("model-medium", Says("42"))
    gate.provider.verdicts("model-medium", *([VALID] if small_suffices else [INVALID, VALID]))
    reply = await gate.ask(text, model=model)
    assert reply.status_code == 200
    return await gate.decision_of(reply)


async def test_after_a_few_requests_each_kind_of_question_starts_where_it_will_be_answered(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        for easy, hard in zip(EASY[:5], HARD[:5], strict=True):
            # The cascade asks small first, always; what it leaves are facts for every policy.
            await ask(gate, easy, small_suffices=True, model="auto:cascade")
            await ask(gate, hard, small_suffices=False, model="auto:cascade")
        await delivered(gate)
        easy_again = await ask(gate, EASY[5], small_suffices=True)
        gate.provider.verdicts("model-medium", VALID)
        hard_again = await gate.decision_of(await gate.ask(HARD[5]))
    assert [attempt["tier"] for attempt in easy_again["attempts"]] == ["small"]
    assert easy_again["start"]["estimates"]["small"]["accuracy"] >= 0.7
    assert easy_again["start"]["estimates"]["small"]["weight_wrong"] == 0
    assert [attempt["tier"] for attempt in hard_again["attempts"]] == ["medium"]
    assert hard_again["start"]["neighbours"] == 5
    small, medium = (hard_again["start"]["estimates"][tier] for tier in ("small", "medium"))
    assert small["accuracy"] < 0.7 <= medium["accuracy"]
    # The paper's formula, from the evidence as it was noted.
    right, wrong = small["weight_right"], small["weight_wrong"]
    assert small["accuracy"] == pytest.approx((right + 5 * 0.55) / (right + wrong + 5))
    async with gateway(tmp_path) as restarted:
        remembered = await restarted.decision_of(await restarted.ask(HARD[6]))
        assert remembered["start"]["tier"] == "medium"


async def test_until_there_are_enough_records_everything_starts_at_the_bottom(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        for known, text in enumerate(HARD[:5]):
            told = await ask(gate, text, small_suffices=False)
            assert told["start"]["neighbours"] == known
            assert told["start"]["tier"] == "small"
            assert [attempt["tier"] for attempt in told["attempts"]] == ["small", "medium"]
            await delivered(gate)
        gate.provider.verdicts("model-medium", VALID)
        told = await gate.decision_of(await gate.ask(HARD[5]))
        assert told["start"]["tier"] == "medium"


async def test_a_record_that_must_not_teach_is_nobodys_neighbour(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        question = EASY[0]
        forgotten = [
            await gate.ask(question, autoshift={"learn": False}),
            await gate.ask(question, headers={"x-autoshift-learn": "false"}),
            await gate.ask(question, model="small"),
            await gate.ask(question, model="model-large"),
            await gate.ask(question, n=2),
        ]
        await delivered(gate)
        told = [await gate.decision_of(reply) for reply in forgotten]
        assert [decision["learn"] for decision in told] == [False] * 5
        assert [decision["kind"] for decision in told] == ["routed"] * 2 + ["pinned"] * 2 + [
            "routed"
        ]
        remembered = await gate.ask(question)
        assert (await gate.decision_of(remembered))["start"]["neighbours"] == 0
        await delivered(gate)
        after = await gate.decision_of(await gate.ask(question))
        assert after["start"]["neighbours"] == 1
        assert after["start"]["top_similarity"] == pytest.approx(1, abs=1e-3)


async def test_a_request_that_failed_or_was_cut_teaches_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for model in ("model-small", "model-medium", "model-large"):
            gate.provider.answers(model, Fails(500))
        failed = await gate.ask(EASY[0])
        assert failed.status_code == 502
        gate.provider.answers("model-small", Says("Os", finish="length"))
        cut = await gate.decision_of(await gate.ask(EASY[0], max_tokens=1))
        assert cut["attempts"][0]["outcome"] == "censored"
        await delivered(gate)
        after = (await gate.decision_of(await gate.ask(EASY[0], max_tokens=1)))["start"]
        assert after["neighbours"] == 1  # the one that was cut, not the one that failed
        assert after["estimates"]["small"]["accuracy"] == 0.55


async def test_a_pinned_request_leaves_a_ledger_row(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        told = await gate.decision_of(await gate.ask(model="model-medium"))
        assert (told["kind"], told["policy"]) == ("pinned", "always:medium")
        assert (told["outcome"], told["served_tier"], told["learn"]) == (
            "answered",
            "medium",
            False,
        )
        assert told["cost_usd"] == told["costs_usd"]["answer"] == pytest.approx(3000e-6)
        assert told["embedder"] is None
        assert gate.provider.asked(judging=True) == []
        metrics = (await gate.http.get("/metrics")).text
        assert metric(metrics, "autoshift_requests_total", kind="pinned", outcome="answered") == 1


async def test_answers_of_different_questions_are_unlike(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        await gate.ask(EASY[0])
        await delivered(gate)
        near = await gate.decision_of(await gate.ask(EASY[1]))
        far = await gate.decision_of(await gate.ask(HARD[0]))
        assert near["start"]["top_similarity"] > 0.6 > far["start"]["top_similarity"]


async def test_with_the_store_down_requests_are_served_from_the_priors_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("AUTOSHIFT_STORE__URL", url)
        async with gateway(tmp_path) as gate:
            replies = [await gate.ask(text) for text in EASY[:3]]
            for reply in replies:
                assert reply.status_code == 200
                assert reply.headers["x-autoshift-tier"] == "small"
                assert reply.headers["x-autoshift-degraded"] == "store"
                told = await gate.decision_of(reply)
                assert told["start"]["neighbours"] == 0
                assert told["start"]["estimates"]["small"]["accuracy"] == 0.55

            async def told_as_down() -> bool:
                return bool((await gate.http.get("/readyz")).json()["store"] == "down")

            await until(told_as_down)
            ready = await gate.http.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["outbox_entries"] == 3
            metrics = (await gate.http.get("/metrics")).text
            assert metric(metrics, "autoshift_degraded_requests_total", reason="store") == 3
            assert metric(metrics, "autoshift_outbox_entries") == 3
    monkeypatch.delenv("AUTOSHIFT_STORE__URL")
    async with gateway(tmp_path) as with_a_store:
        await delivered(with_a_store)
        told = await with_a_store.decision_of(await with_a_store.ask(EASY[3]))
        assert told["start"]["neighbours"] == 3
        for reply in replies:
            await with_a_store.decision_of(reply)


async def test_metrics_and_decision_tell_one_story(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        told = [
            await ask(gate, HARD[0], small_suffices=False),
            await ask(gate, EASY[0], small_suffices=True),
        ]
        metrics = (await gate.http.get("/metrics")).text

    def value(name: str, **labels: str) -> float:
        return metric(metrics, f"autoshift_{name}", **labels)

    assert value("requests_total", policy="llm_at", kind="routed", outcome="answered") == 2
    assert value("attempts_total", tier="small", arrived="direct", outcome="complete") == 2
    assert value("attempts_total", tier="medium", arrived="after_reject") == 1
    assert value("escalations_total", from_tier="small", to_tier="medium") == 1
    assert value("verdicts_total", tier="small", by="medium", verdict="invalid") == 1
    assert value("verdicts_total", tier="small", by="medium", verdict="valid") == 1
    assert value("verdicts_total", tier="medium", by="medium", verdict="valid") == 1
    estimates = [decision["start"]["estimates"]["small"]["accuracy"] for decision in told]
    assert value("start_estimate_count", tier="small") == 2
    assert value("start_estimate_sum", tier="small") == pytest.approx(sum(estimates))
    assert value("start_valid_total", tier="small") == 1
    assert value("start_squared_error_sum", tier="small") == pytest.approx(
        estimates[0] ** 2 + (estimates[1] - 1) ** 2
    )
    for purpose in ("answer", "draft", "judge"):
        spent_usd = sum(
            value("cost_usd_total", tier=tier, purpose=purpose)
            for tier in ("small", "medium", "large")
        )
        assert spent_usd == pytest.approx(sum(d["costs_usd"][purpose] for d in told))
    assert value("unknown_costs_total", purpose="judge") == 0
