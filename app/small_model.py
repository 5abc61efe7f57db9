"""A small model of our own that answers, below the first tier, what tiers answer over and over.

Source: Online Cascade Learning (Nie et al. 2024, ICML, arXiv 2402.04513).
"""

import hashlib
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random

from app.answers import Answer
from app.clock import Clock
from app.intervals import upper_bound
from app.jsontext import Json, dump_json
from app.judge.examine import examine
from app.latest import Latest
from app.learning.influence import whose
from app.learning.labels import is_refuted
from app.learning.softmax import Example, Softmax
from app.records import Attempt, Record
from app.settings.policies import LEARNER, LearnerSection
from app.underway import Run
from app.wire import ChatRequest

DECAY, FLOOR = 0.97, 0.05
"""How likely a tier is asked all the same: `DECAY` to the power of the examples seen, but no less
than `FLOOR`, so that what is measured stays true."""
WINDOW = 100
"""So many of the last comparisons count."""
DOUBT = 0.05
LABEL_CHARACTERS = 64
TASKS = 64


@dataclass(slots=True)
class _Task:
    """One key's, of one kind: the model, and whether it said what the tiers then said.

    `compared` has only answers that it would have given; `told` the requests whose own answer
    somebody found wrong.
    """

    model: Softmax
    compared: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    told: deque[str] = field(default_factory=lambda: deque(maxlen=WINDOW))
    is_open: bool = False

    def may_answer(self, agreement: float) -> bool:
        """Whether it agrees with the tiers at this rate, with a confidence of 95 %; exact."""
        missed = len(self.compared) - sum(self.compared)
        enough = len(self.compared) and not self.is_open
        return bool(enough) and 1 - upper_bound(missed, len(self.compared), DOUBT) >= agreement


class SmallModels:
    """One gateway's, a model for each key, task (`autoshift.task`) and prompt around the question.

    It answers where it is as sure as `confidence` and its answers, compared with those of the tiers
    where a coin has both, agree at the rate `agreement`, by the lower bound. So long as it does, a
    coin that the record keeps has tiers asked all the same, less and less often.

    Departs: one small model, not several; it defers by its own confidence and by measured
    agreement, not by a second network that learns when to; what it imitates are the answers that
    the cascade accepted. It answers no request with tools, several choices or log probabilities,
    and no task with more than `labels` different answers, or with long ones: that is no
    classification. It knows only what was asked since the gateway started.

    Errors: none of its own.
    """

    def __init__(self, section: LearnerSection, *, rng: Random, clock: Clock) -> None:
        self._on = section.enabled
        self._agreement = section.agreement
        self._confidence = section.confidence
        self._labels = section.labels
        self._rng = rng
        self._clock = clock
        self._tasks: Latest[tuple[str, str, str], _Task] = Latest(TASKS)

    def serve(self, run: Run) -> Answer | None:
        """The answer, with all of it on the record; None where tiers are to be asked."""
        started_s = self._clock.monotonic_s()
        task, record = self._known(run), run.record
        said = None if task is None or run.vector is None else task.model.predict(run.vector)
        if task is None or said is None or said[1] < self._confidence:
            return None
        if not task.may_answer(self._agreement):
            return None
        chance = max(FLOOR, DECAY**task.model.updates)
        record.features |= {"learner_confidence": said[1], "learner_deferral": chance}
        if self._rng.random() < chance:
            return None
        answer = _answer(said[0], run.order.request)
        attempt = Attempt(LEARNER, "direct", model=LEARNER, usage=answer.usage, cost_usd=0.0)
        attempt.latency_s = self._clock.monotonic_s() - started_s
        examine(attempt, answer, run.order.request)
        record.attempts.append(attempt)
        run.answers.append(answer)
        record.served, record.outcome = len(record.attempts) - 1, "answered"
        record.learn = False  # of the tiers it says nothing
        return answer

    def note(self, run: Run, answer: Answer) -> None:
        """Learn from what a tier answered, where that was accepted."""
        task, served = self._known(run), run.record.served_attempt
        if task is None or run.vector is None or not run.record.learn or served is None:
            return
        if served.outcome != "complete" or served.refused or run.record.degraded:
            return
        label = answer.text.strip()
        if len(label) > LABEL_CHARACTERS or not label or task.is_open:
            task.is_open = True
            return
        said = task.model.predict(run.vector)
        if said is not None and said[1] >= self._confidence:
            task.compared.append(said[0] == label)
        task.model.learn(Example(run.record.id, run.vector, label))
        if len(task.model.labels) > self._labels:
            task.is_open = True
            task.model = Softmax(task.model.dimension)

    def observe(self, record: Record) -> None:
        """Unlearn an answer that somebody found wrong, whoever gave it."""
        if not self._tasks or not is_refuted(record):
            return
        served = record.served_attempt
        for (asker, name, _), task in self._tasks.items():
            if (asker, name) == (whose(record), record.task):
                task.model.forget({record.id})
                own = served is not None and served.tier == LEARNER
                if own and record.id not in task.told:
                    task.told.append(record.id)
                    task.compared.append(False)

    def forget(self, tenant: str, records: Collection[str]) -> None:
        """Be as if these records had never been there."""
        gone = set(records)
        for (asker, _, _), task in self._tasks.items():
            if asker.partition("\0")[0] == tenant and task.model.forget(gone):
                task.compared.clear()  # what it was measured as is no more

    def _known(self, run: Run) -> _Task | None:
        """The task of this request, where it is of a kind that a small model may learn."""
        order, request = run.order, run.order.request
        name = request.extension.task
        if not self._on or name is None or run.vector is None or run.record.task is None:
            return None
        tried = order.trial_of is not None or order.beside is not None
        if tried or order.kind != "routed" or not _is_plain(request):
            return None
        key, dimension = (whose(run.record), run.record.task, _around(request)), len(run.vector)
        return self._tasks.of(key, lambda: _Task(Softmax(dimension)))


def _is_plain(request: ChatRequest) -> bool:
    """Whether nothing but a word or two is asked for."""
    needs = request.needs() - {"json_object", "json_schema"}
    asked = request.messages[-1]["role"] == "user"
    return asked and not needs and not request.bound and not request.body.get("stop")


def _around(request: ChatRequest) -> str:
    """All that is said but the question itself, in few characters: another prompt, another task."""
    *before, asked = request.messages
    around = [before, asked.get("name"), request.body.get("response_format")]
    return hashlib.blake2b(dump_json(around), digest_size=16).hexdigest()


def _answer(text: str, request: ChatRequest) -> Answer:
    """The text as an answer like any other, as a stream where one was asked for."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    head: Json = {"model": LEARNER}
    message = {"role": "assistant", "content": text}
    choice: Json = {"index": 0, "logprobs": None}
    answer = Answer()
    if not request.stream:
        told = {**choice, "message": {**message, "refusal": None}, "finish_reason": "stop"}
        answer.add({**head, "choices": [told], "usage": usage})
        return answer
    answer.add({**head, "choices": [{**choice, "delta": message, "finish_reason": None}]})
    answer.add({**head, "choices": [{**choice, "delta": {}, "finish_reason": "stop"}]})
    answer.add({**head, "choices": [], "usage": usage})
    return answer
