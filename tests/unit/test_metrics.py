"""The metrics tell what the records tell, and no request can add a series."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from app.records import Attempt, Estimate, Record, Start, Usage, Verdict
from app.telemetry.metrics import Metrics


def new_metrics() -> Metrics:
    return Metrics(
        tiers=["small", "large"], policies=["llm_at"], checks=["schema"], version="1.2.3"
    )


def read(metrics: Metrics) -> Callable[..., float]:
    """A function from a series' name and labels to its value; 0 where there is no such series."""
    body, _ = metrics.render()
    samples = {
        (sample.name.removeprefix("autoshift_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    return lambda name, **labels: samples.get((name, frozenset(labels.items())), 0.0)


def make_record(**changes: object) -> Record:
    facts: dict[str, object] = {
        "id": "r1", "time_s": 0.0, "tenant": "local", "kind": "routed", "policy": "llm_at",
        "policy_version": "1", "ladder": ("small", "large"), "eligible": ("small", "large"),
        "outcome": "answered", "latency_s": 3.0,
    }  # fmt: skip
    return Record(**(facts | changes))  # type: ignore[arg-type]


@pytest.fixture
def escalated() -> Record:
    """Small answers, large judges and refuses, then answers itself."""
    return make_record(
        start=Start("small", {"small": 1.0}, {"small": Estimate(accuracy=0.8, prior=0.6)}),
        phases_s={"embed": 0.0002, "search": 0.002, "judge": 1.0},
        served=1,
        attempts=[
            Attempt(
                "small", "direct", outcome="complete", usage=Usage(100, 20, cached_tokens=60),
                cost_usd=0.01, first_byte_s=0.2, latency_s=0.7,
                verdicts=[Verdict(False, "large", usage=Usage(150, 5), cost_usd=0.02)],
            ),
            Attempt(
                "large", "after_reject", outcome="complete", usage=Usage(100, 30), cost_usd=0.3,
                first_byte_s=0.4, latency_s=1.2,
            ),
        ],
    )  # fmt: skip


def test_one_escalated_request_is_counted_in_every_series(escalated: Record) -> None:
    metrics = new_metrics()

    metrics.observe(escalated, True)

    value = read(metrics)
    assert value("requests_total", policy="llm_at", kind="routed", outcome="answered") == 1
    assert value("attempts_total", tier="small", arrived="direct", outcome="complete") == 1
    assert value("attempts_total", tier="large", arrived="after_reject", outcome="complete") == 1
    assert value("verdicts_total", tier="small", by="large", verdict="invalid") == 1
    assert value("escalations_total", from_tier="small", to_tier="large") == 1
    assert value("tokens_total", tier="small", direction="input") == 40
    assert value("tokens_total", tier="small", direction="cached_input") == 60
    assert value("tokens_total", tier="large", direction="input") == 250
    assert value("tokens_total", tier="large", direction="output") == 35
    assert value("request_duration_seconds_sum", kind="routed") == 3.0
    assert value("attempt_duration_seconds_sum", tier="large") == 1.2
    assert value("first_byte_seconds_count", tier="small") == 1
    assert value("phase_duration_seconds_sum", phase="judge") == 1.0
    assert value("records_refused_total") == 0
    assert value("build_info", version="1.2.3") == 1


def test_the_spend_by_purpose_is_the_records_own(escalated: Record) -> None:
    metrics = new_metrics()

    metrics.observe(escalated, True)

    value = read(metrics)
    spent = {
        "draft": value("cost_usd_total", tier="small", purpose="draft"),
        "judge": value("cost_usd_total", tier="large", purpose="judge"),
        "answer": value("cost_usd_total", tier="large", purpose="answer"),
    }
    assert {**spent, "lesson": 0} == escalated.costs_usd()
    assert sum(spent.values()) == pytest.approx(escalated.cost_usd)


def test_an_unknown_cost_is_counted_as_unknown_and_not_as_free() -> None:
    metrics = new_metrics()
    attempt = Attempt("small", "direct", outcome="complete", usage=Usage(1, 1), cost_usd=None)

    metrics.observe(make_record(attempts=[attempt], served=0), True)

    assert read(metrics)("unknown_costs_total", tier="small", purpose="answer") == 1
    assert b'autoshift_cost_usd_total{purpose="answer",tier="small"}' not in metrics.render()[0]


def test_a_failed_attempt_without_usage_costs_nothing_and_has_no_duration() -> None:
    metrics = new_metrics()

    metrics.observe(make_record(attempts=[Attempt("small", "direct", outcome="failed")]), True)

    value = read(metrics)
    assert value("attempts_total", tier="small", arrived="direct", outcome="failed") == 1
    assert value("unknown_costs_total", tier="small", purpose="draft") == 0
    assert value("attempt_duration_seconds_count", tier="small") == 0


def test_a_free_tier_costs_a_known_nothing() -> None:
    metrics = new_metrics()
    attempt = Attempt("small", "direct", outcome="complete", usage=Usage(1, 1), cost_usd=0.0)

    metrics.observe(make_record(attempts=[attempt], served=0), True)

    assert read(metrics)("unknown_costs_total", tier="small", purpose="answer") == 0
    assert b'autoshift_cost_usd_total{purpose="answer",tier="small"} 0.0' in metrics.render()[0]


def test_an_exact_check_is_a_verdict_without_spend() -> None:
    metrics = new_metrics()
    refusal = Verdict(False, "check:schema", confidence=1.0)
    attempt = Attempt("small", "direct", outcome="complete", cost_usd=0.1, verdicts=[refusal])

    metrics.observe(make_record(attempts=[attempt]), True)

    value = read(metrics)
    assert value("verdicts_total", tier="small", by="check:schema", verdict="invalid") == 1
    assert b'purpose="judge"' not in metrics.render()[0]


def test_a_tier_asked_because_another_was_down_is_no_escalation() -> None:
    metrics = new_metrics()
    attempts = [
        Attempt("small", "direct", outcome="failed"),
        Attempt("large", "after_failure", outcome="complete"),
    ]

    metrics.observe(make_record(attempts=attempts, served=1), True)

    assert read(metrics)("escalations_total", from_tier="small", to_tier="large") == 0


def test_an_answer_nobody_judged_is_kept_out_of_the_brier_score(escalated: Record) -> None:
    metrics = new_metrics()
    escalated.attempts[0].verdicts = [Verdict(None, "large")]

    metrics.observe(escalated, True)

    assert read(metrics)("start_estimate_count", tier="small") == 0


def test_a_record_that_was_not_written_down_is_counted(escalated: Record) -> None:
    metrics = new_metrics()

    metrics.observe(escalated, False)

    assert read(metrics)("records_refused_total") == 1


def test_the_brier_score_can_be_read_from_estimates_and_verdicts(escalated: Record) -> None:
    metrics = new_metrics()
    metrics.observe(escalated, True)
    escalated.attempts[0].verdicts = [Verdict(True, "large")]
    metrics.observe(escalated, True)

    value = read(metrics)
    assert value("start_estimate_sum", tier="small") == pytest.approx(1.6)
    assert value("start_estimate_count", tier="small") == 2
    assert value("start_valid_total", tier="small") == 1
    assert value("start_squared_error_sum", tier="small") == pytest.approx(0.8**2 + 0.2**2)


@pytest.mark.parametrize("outcome", ["censored", "truncated", "failed", "cancelled"])
def test_an_answer_that_teaches_nothing_is_kept_out_of_the_brier_score(
    escalated: Record, outcome: str
) -> None:
    metrics = new_metrics()
    escalated.attempts[0].outcome = outcome  # type: ignore[assignment]

    metrics.observe(escalated, True)

    assert read(metrics)("start_estimate_count", tier="small") == 0


def test_reasons_of_degradation_are_classes_and_count_once_a_request() -> None:
    metrics = new_metrics()

    metrics.observe(make_record(degraded=("tier:small", "tier:large", "store")), True)

    value = read(metrics)
    assert value("degraded_requests_total", reason="tier") == 1
    assert value("degraded_requests_total", reason="store") == 1


@given(st.text(), st.text())
def test_what_configuration_does_not_name_is_folded_into_other(word: str, other: str) -> None:
    metrics = new_metrics()
    verdict = Verdict(None, f"x{other}", usage=Usage(1, 1), cost_usd=0.1)
    record = make_record(
        policy=f"x{word}",
        phases_s={f"x{word}": 1.0},
        degraded=(f"x{word}", f"x{other}"),
        attempts=[Attempt(f"x{word}", "direct", outcome="complete", verdicts=[verdict])],
    )

    metrics.observe(record, True)

    value = read(metrics)
    assert value("requests_total", policy="other", kind="routed", outcome="answered") == 1
    assert value("verdicts_total", tier="other", by="other", verdict="none") == 1
    assert value("degraded_requests_total", reason="other") == 1
    assert value("phase_duration_seconds_count", phase="other") == 1


def test_watched_values_are_read_at_each_fetch_and_one_that_fails_hides_no_other() -> None:
    metrics = new_metrics()
    waiting = [3]
    metrics.watch("outbox_entries", lambda: len(waiting))
    metrics.watch("worker_alive", lambda: True)
    metrics.watch("store_records", lambda: 1 / 0)

    assert read(metrics)("outbox_entries") == 1
    waiting.clear()
    assert read(metrics)("outbox_entries") == 0
    assert read(metrics)("worker_alive") == 1
    assert math.isnan(read(metrics)("store_records"))


def test_two_gateways_in_one_process_count_apart(escalated: Record) -> None:
    one, other = new_metrics(), new_metrics()

    one.observe(escalated, True)

    assert read(other)("requests_total", policy="llm_at", kind="routed", outcome="answered") == 0


def test_every_series_is_ours_or_the_processs_and_in_base_units(escalated: Record) -> None:
    metrics = new_metrics()
    metrics.observe(escalated, True)

    body, content_type = metrics.render()

    families = list(text_string_to_metric_families(body.decode()))
    assert content_type.startswith("text/plain; version=0.0.4")
    assert len(families) > 15
    for family in families:
        assert family.name.startswith(("autoshift_", "process_"))
        assert family.documentation
        assert not family.name.endswith(("_ms", "_milliseconds", "_created"))


@pytest.mark.parametrize(("live", "sent"), [(True, "live"), (False, "held")])
def test_streams_are_counted_by_whether_they_were_held(live: bool, sent: str) -> None:
    metrics = new_metrics()
    answered = [Attempt("small", "direct", live=live, outcome="complete")]

    metrics.observe(make_record(stream=True, served=0, attempts=answered), True)
    metrics.observe(make_record(stream=False, served=0, attempts=answered), True)

    value = read(metrics)
    assert value("streams_total", sent=sent) == 1
    assert value("streams_total", sent="held" if live else "live") == 0
