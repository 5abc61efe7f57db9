"""What can go wrong, made from recordings that are all right: each a pure function of its seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, get_args

import numpy as np

from app.errors import SettingsError
from app.records import Verdict
from app.replay.bootstrap import Floats
from app.replay.recordings import RecordedAnswer, Recording
from app.replay.run import Course
from app.replay.stand_ins import VerdictSource, request_of
from app.tiers import Tier, TierLadder

ScenarioName = Literal[
    "wrong-priors", "reversed", "false-failures", "false-successes", "fall", "trap"
]

PLANTED = 20
FALL = 0.2
NEIGHBOURHOOD = 0.1
"""The share of questions that counts as near, around what is planted."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A stream in which something is wrong from position `at` on.

    `tier` is whom it is about. `planted` counts the questions from there on whose answers look
    other than they are; `near` are the questions around them.
    """

    course: Course
    order: Sequence[int]
    at: int = 0
    tier: str | None = None
    planted: int = 0
    near: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Ground:
    """What scenarios are made on. Shape of `vectors`: (queries, dimension), of length 1 or 0."""

    course: Course
    vectors: Floats


@dataclass(frozen=True, slots=True)
class Overruled:
    """A judge that says as before, but for these answers. Keys: recording and model."""

    verdicts: VerdictSource
    valid: Mapping[tuple[str, str], bool]

    def verdict(self, recording: Recording, model: str, by: Tier) -> Verdict:
        """As the protocol says; an answer that nobody could judge still has no verdict."""
        known = self.verdicts.verdict(recording, model, by)
        valid = self.valid.get((recording.id, model))
        return known if valid is None or known.valid is None else replace(known, valid=valid)

    def samples(self, recording: Recording, model: str, by: Tier, count: int) -> Verdict:
        """As the protocol says; what is overruled is so without a doubt."""
        known = self.verdicts.samples(recording, model, by, count)
        valid = self.valid.get((recording.id, model))
        if valid is None or known.valid is None:
            return known
        return replace(known, valid=valid, confidence=float(valid))


def parse_scenarios(names: Iterable[str]) -> tuple[ScenarioName, ...]:
    """Each once, in order. Errors: SettingsError for an unknown one."""
    known: tuple[ScenarioName, ...] = get_args(ScenarioName)
    found = []
    for name in dict.fromkeys(names):
        match = next((each for each in known if each == name), None)
        if match is None:
            raise SettingsError(f"--scenario: {name!r} is unknown; known: {', '.join(known)}")
        found.append(match)
    return tuple(found)


def scenes(
    name: ScenarioName, ground: Ground, orders: Sequence[Sequence[int]], *, seed: int, most: str
) -> list[Scene]:
    """The scenario along every order; `most` is the tier that serves most where all is well."""
    course = ground.course
    match name:
        case "wrong-priors":
            return [Scene(wrong_priors(course), order) for order in orders]
        case "reversed":
            return [Scene(reversed_ladder(course), order) for order in orders]
        case "trap":
            trapped = trap(course, seed)
            return [Scene(trapped, order) for order in orders]
        case "fall":
            return [fall(course, o, most, seed + at) for at, o in enumerate(orders)]
        case "false-failures":
            return [planted(ground, o, seed + at, right=False) for at, o in enumerate(orders)]
        case "false-successes":
            return [planted(ground, o, seed + at, right=True) for at, o in enumerate(orders)]


def wrong_priors(course: Course) -> Course:
    """The same tiers, each believed as good as the one at the other end was."""
    believed = [tier.prior for tier in reversed(course.tiers)]
    names = [tier.name for tier in course.tiers]
    priors = dict(zip(names, believed, strict=True))
    return _with_tiers(course, lambda tier: tier.model_copy(update={"prior": priors[tier.name]}))


def reversed_ladder(course: Course) -> Course:
    """The same tiers, what is believed of them included, listed dearest first."""
    return replace(
        course,
        tiers=course.tiers[::-1],
        ladders=[TierLadder(ladder.tiers[::-1]) for ladder in course.ladders],
    )


def trap(course: Course, seed: int) -> Course:
    """No dearer tier is more accurate than the cheapest.

    Where one was, it fails questions that the cheapest fails too, by chance, until it is not: so it
    is right where the cheapest is not no more often than the other way round.
    """
    cheapest, *dearer = (tier.model for tier in course.tiers)
    every = range(len(course.recordings))
    known = set(_right(course, cheapest, every))
    rng = Random(f"trap {seed}")  # noqa: S311 - an experiment's chance
    wrong: list[tuple[int, str]] = []
    for model in dearer:
        right = _right(course, model, every)
        alone = [query for query in right if query not in known]
        wrong += [(query, model) for query in rng.sample(alone, max(0, len(right) - len(known)))]
    return _worsened(course, wrong, rng)


def fall(course: Course, order: Sequence[int], tier: str, seed: int) -> Scene:
    """From the middle of the stream on this tier is right 20 points less often."""
    at = len(order) // 2
    rng = Random(f"fall {seed}")  # noqa: S311 - an experiment's chance
    model = TierLadder(course.tiers)[tier].model
    right = _right(course, model, order[at:])
    fallen = rng.sample(right, min(len(right), round(FALL * len(order[at:]))))
    wrong = [(query, model) for query in fallen]
    return Scene(_worsened(course, wrong, rng), order, at=at, tier=tier)


def planted(ground: Ground, order: Sequence[int], seed: int, *, right: bool) -> Scene:
    """In the middle, all at once, answers of the cheapest tier that look right, or look wrong.

    They are those nearest to one question at random, of those where the truth is the opposite;
    the truth, and with it the figures, stays. The same stream without them has the same order.
    """
    course = ground.course
    rng = Random(f"planted {seed}")  # noqa: S311 - an experiment's chance
    tier = course.tiers[0]
    similar = ground.vectors @ ground.vectors[rng.choice(order)]
    nearest = np.argsort(-similar, kind="stable").tolist()
    answers = [recording.answers[tier.model] for recording in course.recordings]
    opposite = [q for q in nearest if answers[q].correct is not right and not answers[q].abstained]
    chosen = opposite[:PLANTED]
    turned = {q: _agreeing(course.recordings[q], course, right=right) for q in chosen}
    valid = {(course.recordings[q].id, tier.model): right for q in chosen}
    rest = [query for query in order if query not in turned]
    at = len(rest) // 2
    apart = [query for query in nearest if query not in turned]
    return Scene(
        course=_with_answers(course, {(q, tier.model): a for q, a in turned.items()}, valid),
        order=[*rest[:at], *rng.sample(chosen, len(chosen)), *rest[at:]],
        at=at,
        tier=tier.name,
        planted=len(chosen),
        near=frozenset(apart[: round(NEIGHBOURHOOD * len(order))]),
    )


def _agreeing(recording: Recording, course: Course, *, right: bool) -> RecordedAnswer:
    """The cheapest tier's answer as if it were right, or wrong; its truth stays."""
    cheapest, *dearer = (tier.model for tier in course.tiers)
    answer = recording.answers[cheapest]
    if not right:
        return _saying(answer, f"none of these {cheapest}")
    others = [recording.answers[model] for model in reversed(dearer)]
    model_answer = next((other for other in others if other.correct), others[0])
    return _saying(answer, model_answer.answer or model_answer.text)


def _worsened(course: Course, wrong: Sequence[tuple[int, str]], rng: Random) -> Course:
    """These answers wrong, agreeing with nobody's; judges let as many pass as of wrong ones."""
    answers, valid = {}, {}
    passed = {model: _accepted_wrong(course, model) for _, model in wrong}
    for query, model in wrong:
        recording = course.recordings[query]
        answer = _saying(recording.answers[model], f"none of these {model}")
        answers[query, model] = answer.model_copy(update={"correct": False})
        valid[recording.id, model] = rng.random() < passed[model]
    return _with_answers(course, answers, valid)


def _accepted_wrong(course: Course, model: str) -> float:
    """How often a judge accepts this model's wrong answers; a half where nobody knows."""
    by = course.tiers[-1]
    said = [
        course.verdicts.verdict(recording, model, by).valid
        for recording in course.recordings
        if not recording.answers[model].correct
    ]
    known = [valid for valid in said if valid is not None]
    return sum(known) / len(known) if known else 0.5


def _saying(answer: RecordedAnswer, final: str) -> RecordedAnswer:
    """The same answer with another outcome; where it had none of its own, that is all it says."""
    whole = {} if answer.answer and answer.answer.strip() else {"text": final}
    return answer.model_copy(update={"answer": final, "abstained": False, **whole})


def _right(course: Course, model: str, queries: Iterable[int]) -> list[int]:
    return [query for query in queries if course.recordings[query].answers[model].correct]


def _with_answers(
    course: Course,
    answers: Mapping[tuple[int, str], RecordedAnswer],
    valid: Mapping[tuple[str, str], bool],
) -> Course:
    """The course with these answers in place of its own. Keys: question and model."""
    recordings, requests = list(course.recordings), list(course.requests)
    for (query, model), answer in answers.items():
        before = recordings[query]
        changed = before.model_copy(update={"answers": {**before.answers, model: answer}})
        recordings[query], requests[query] = changed, request_of(changed)
    verdicts = Overruled(course.verdicts, valid)
    return replace(course, recordings=recordings, requests=requests, verdicts=verdicts)


def _with_tiers(course: Course, changed: Callable[[Tier], Tier]) -> Course:
    ladders = [TierLadder(tuple(changed(tier) for tier in ladder)) for ladder in course.ladders]
    tiers = tuple(changed(tier) for tier in course.tiers)
    return replace(course, tiers=tiers, ladders=ladders)
