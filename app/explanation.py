"""A decision explained: what is known of a request, what each step is worth, what would flip it."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import asdict, replace
from random import Random

import orjson
from anyio import to_thread

from app.accounts.worst import worst_answer_usd
from app.catalogue import Catalogue
from app.clock import Clock
from app.events import Chunk, Event, Order, Settled
from app.intervals import wilson
from app.jsontext import Json
from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import taught
from app.neighbours import Neighbour
from app.planning.affinity import USUAL_OUTPUT_TOKENS
from app.planning.levers import Lever, flips
from app.planning.nearby import OWN_SHRINKAGE
from app.planning.weighing import Weighing
from app.policies.llm_at import LlmAt
from app.policies.value import Value
from app.policy import Accept, Action, Ask, Context, Judge, Policy, Stop
from app.records import Estimate, Record, Usage
from app.sentences import sentence
from app.tailor import left_out
from app.tiers import Tier, TierLadder
from app.transmission import Transmission

OBJECT = "autoshift.explanation"
DECISION = "autoshift.decision"


class Explainer:
    """Looks at requests as the loop does, and asks their policy, without asking any tier."""

    def __init__(
        self,
        *,
        transmission: Transmission,
        catalogue: Catalogue,
        ladder: TierLadder,
        clock: Clock,
        is_down: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._transmission = transmission
        self._catalogue = catalogue
        self._ladder = ladder
        self._clock = clock
        self._is_down = is_down

    async def explain(self, order: Order) -> Json:
        """Everything the first step is chosen by. Errors: none; a part that is down is named."""
        order = order.beside or order  # what the policy would do, even where it only looks on
        record, context = await self._transmission.look(order)
        return await self._explained(order, record, context)

    async def dry_run(self, order: Order) -> AsyncGenerator[Event, None]:
        """In place of an answer the explanation: in words, and whole under `autoshift`."""
        order = order.beside or order
        record, context = await self._transmission.look(order)
        told = await self._explained(order, record, context)
        yield Settled(record, acknowledged=False, explanation=told)
        for chunk in _chunks(order, told["sentence"]):
            yield Chunk(chunk)

    async def _explained(self, order: Order, record: Record, context: Context) -> Json:
        # The gateway's own coins stay where they are: explaining changes nothing.
        apart = replace(context, rng=Random(0))  # noqa: S311
        told = _told(order, record, apart, self._clock.time_s())
        told["ruled_out"] = [*self._ruled_out(order), *self._held_back(order)]
        told["first"] = _afforded(told["first"], order)
        levers = _levers(order.policy, apart)
        # Weighing hundreds of times over takes tens of milliseconds.
        told["flips"] = await to_thread.run_sync(_flips, levers)
        told["sentence"] = sentence(told)
        return told

    def _held_back(self, order: Order) -> Iterator[Json]:
        """The tiers that could serve it, but will not now."""
        for tier in order.ladder:
            why = _too_dear(tier, order)
            if why is None and self._is_down(tier.name):
                why = "its circuit breaker is open: it is left alone after failures"
            if why is not None:
                yield {"tier": tier.name, "why": why}

    def _ruled_out(self, order: Order) -> list[Json]:
        """The tiers that this request does not go to, and why."""
        others = [tier for tier in self._ladder.names if tier not in order.ladder]
        known = self._catalogue.ruled_out(order.request)
        usual = "another tier was asked for by name" if order.kind == "pinned" else "it is left out"
        return [{"tier": tier, "why": known.get(tier, usual)} for tier in others]


def _too_dear(tier: Tier, order: Order) -> str | None:
    """Why the request's own bound keeps it from this tier; None: it does not."""
    most_usd = order.request.extension.max_cost_usd
    if most_usd is None:
        return None
    usd = worst_answer_usd(tier, order.request, order.purse.output_tokens)
    if usd is None:
        return "its price is unknown, and max_cost_usd must be kept"
    return f"it could cost up to ${usd:.6f}, over max_cost_usd" if usd > most_usd else None


def _afforded(first: Json, order: Order) -> Json:
    """The first step as it is paid for: with a tier below, where the wish is too dear."""
    if first["do"] != "ask":
        return first
    ladder = order.ladder
    for tier in (ladder[first["tier"]], *ladder.below(first["tier"])):
        if _too_dear(tier, order) is None:
            return {**first, "tier": tier.name}
    return {"do": "stop", "attempt": None}


def _chunks(order: Order, said: str) -> Iterator[Json]:
    """An answer that says this: whole, or as a stream's text and end."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    choice: Json = {"index": 0, "logprobs": None, "finish_reason": "stop"}
    message = {"role": "assistant", "content": said}
    model = order.request.model
    if not order.request.stream:
        yield {"model": model, "choices": [{**choice, "message": message}], "usage": usage}
        return
    yield {"model": model, "choices": [{**choice, "delta": message, "finish_reason": None}]}
    yield {"model": model, "choices": [{**choice, "delta": {}}], "usage": usage}


def _told(order: Order, record: Record, context: Context, now_s: float) -> Json:
    policy, request = order.policy, order.request
    weighing = policy.weigh(context) if isinstance(policy, Value) else None
    estimates: Mapping[str, Estimate] = {}
    if weighing is not None:
        estimates = weighing.view.estimates
    elif isinstance(policy, LlmAt):
        estimates = policy.estimates(context)
    lessons = policy.lessons(context) if record.learn and request.extension.explore else None
    return {
        "object": OBJECT,
        "kind": order.kind,
        "model": request.model,
        "policy": policy.name,
        "policy_version": policy.version,
        "features": record.features,
        "prompt_tokens": context.prompt_tokens,
        "task": record.task,
        "seat": None if context.seat is None else asdict(context.seat),
        "tiers": [_tier(tier, order, estimates.get(tier.name), weighing) for tier in order.ladder],
        "neighbours": [_neighbour(near, policy, now_s) for near in context.neighbours],
        "trade": None if weighing is None else asdict(weighing.stake.trade),
        "threshold": policy.starter.threshold if isinstance(policy, LlmAt) else None,
        "actions": [] if weighing is None else _actions(weighing),
        "lessons": None if lessons is None else lessons.propensities,
        "first": action(policy.next(context, ())),
        "degraded": list(record.degraded),
    }


def _tier(tier: Tier, order: Order, estimate: Estimate | None, weighing: Weighing | None) -> Json:
    """What is believed of a tier here, and what it costs. Units: USD of one call."""
    told: Json = {"tier": tier.name, "model": tier.model, "prior": tier.prior, "accuracy": None}
    if estimate is not None:
        labels = max(0.0, estimate.weight_right + estimate.weight_wrong)
        prior_weight = _prior_weight(order.policy)
        low, high = wilson(estimate.accuracy, labels + prior_weight)
        told |= {
            "accuracy": estimate.accuracy,
            "low": low,
            "high": high,
            "effective_n": labels,
            "prior_weight": prior_weight,
        }
    usage = Usage(order.request.prompt_tokens(), USUAL_OUTPUT_TOKENS)
    told |= {"ask_usd": tier.cost_usd(usage), "judge_usd": None}
    if weighing is not None:
        at = weighing.tiers.index(tier.name)
        told |= {
            "ask_usd": weighing.view.ask_usd[at],
            "judge_usd": weighing.view.judge_usd[at],
        }
    told["judged_by"] = order.policy.judged_by(order.ladder, tier.name)
    told["does_not_get"] = list(left_out(tier, order.request))
    return told


def _prior_weight(policy: Policy) -> float:
    """How many labels' worth stands behind an estimate beside those of its neighbours."""
    return policy.estimator.prior_weight if isinstance(policy, LlmAt) else OWN_SHRINKAGE


def _neighbour(near: Neighbour, policy: Policy, now_s: float) -> Json:
    """A similar record; its text only where it was kept."""
    record = near.record
    served = record.served_attempt
    return {
        "decision": record.id,
        "similarity": near.similarity,
        "age_s": max(0.0, now_s - record.time_s),
        "task": record.task,
        "labels": dict(policy.label(record)),
        "started_at": record.start.tier if record.start else None,
        "served_tier": served.tier if served else None,
        "verified": record.verified,
        "cost_usd": record.cost_usd,
        "text": record.text,
    }


def _actions(weighing: Weighing) -> list[Json]:
    """What could be done now, the best first.

    Units: `value` is expected accuracy less what is still to be spent, at the rate of the trade;
    `expected_usd` that spending, waiting included.
    """
    rate = weighing.stake.trade.quality_per_dollar
    found = sorted(weighing.steps(), key=lambda entry: -entry[1].value)
    return [
        {
            "do": step.do,
            "tier": weighing.tiers[step.tier],
            "value": step.value,
            "expected_usd": spent / rate if rate else None,
            "final": step.final,
        }
        for spent, step in found
    ]


def _levers(policy: Policy, context: Context) -> list[Lever]:
    match policy:
        case Value():
            return list(policy.weigh(context).levers())
        case LlmAt():
            return list(policy.levers(context))
        case _:
            return []


def _flips(levers: list[Lever]) -> list[Json]:
    return [asdict(flip) for lever in levers for flip in flips(lever)]


def action(chosen: Action) -> Json:
    """A policy's word as JSON."""
    match chosen:
        case Ask():
            return {"do": "ask", "tier": chosen.tier, "live": chosen.live}
        case Judge():
            return {"do": "judge", "by": chosen.by, "attempt": chosen.attempt}
        case Accept() | Stop():
            return {"do": "stop", "attempt": chosen.attempt}


def story(record: Record) -> Json:
    """A decision that was made: the record, and what follows from it.

    `labels` is what it teaches of each tier, if judges err as often as is usual.
    """
    served = record.served_attempt
    labels = {one.tier: one.label(USUAL_RATES).right for one in taught(record)}
    return {
        "object": DECISION,
        **orjson.loads(record.to_json()),
        "served_tier": served.tier if served else None,
        "verified": record.verified,
        "costs_usd": record.costs_usd(),
        "cost_usd": record.cost_usd,
        "labels": {tier: min(1.0, max(0.0, right)) for tier, right in labels.items()},
    }
