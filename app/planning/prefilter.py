"""Answers a model was so sure of that no judge need see them: a free filter before any judge.

Source: Ramírez, Birch and Titov 2024 (COLM 2024, arXiv 2405.02134).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.latest import Latest
from app.policy import Accept, Action, Context, Judge
from app.quantiles import Running
from app.records import Attempt, Record

KEPT = 1_000
EXPLORE = 0.1
"""How often such an answer is judged all the same, to know whether it still may be left out."""
HEARD_MIN, ACCEPTED_MIN, DECAY = 20.0, 0.95, 0.99
"""So many verdicts on such answers, that share of them good, the older ones fading."""


@dataclass(slots=True)
class _Margins:
    """A tier's last margins, and what judges said of the answers with the highest of them."""

    running: Running = field(default_factory=Running)
    heard: float = 0.0
    accepted: float = 0.0

    @property
    def trusted(self) -> bool:
        return self.heard >= HEARD_MIN and self.accepted >= ACCEPTED_MIN * self.heard


class Prefilter:
    """Serves an answer unjudged whose margin is among its tier's highest `share`; 0: none.

    Works under every policy, where tiers tell token probabilities. Only once judges are known to
    accept nearly all such answers: a model may well be sure of what is wrong.
    """

    def __init__(self, share: float = 0.0) -> None:
        self._share = share
        self._kept: Latest[tuple[str, str], _Margins] = Latest(KEPT)

    @property
    def on(self) -> bool:
        return self._share > 0

    def heed(self, action: Action, attempts: Sequence[Attempt], context: Context) -> Action:
        """The action, or its answer accepted in the place of being judged."""
        if not self.on or not isinstance(action, Judge) or action.against is not None:
            return action
        attempt = attempts[action.attempt]
        known = self._kept.get((context.tenant, attempt.tier))
        if attempt.margin is None or known is None or not known.trusted:
            return action
        sure = context.rng.random() < known.running.chance(attempt.margin, self._share)
        return Accept(action.attempt) if sure and context.rng.random() >= EXPLORE else action

    def note(self, record: Record) -> None:
        """Take in a record's margins, and what was said of the answers."""
        if not self.on or not record.learn:
            return
        for attempt in record.attempts:
            if attempt.margin is None or attempt.outcome != "complete":
                continue
            known = self._kept.of((record.tenant, attempt.tier), _Margins)
            said = [v.valid for v in attempt.verdicts if not v.exact and v.against is None]
            high = known.running.chance(attempt.margin, self._share)
            if said and said[-1] is not None and high > 0:
                known.heard = DECAY * known.heard + high
                known.accepted = DECAY * known.accepted + high * said[-1]
            known.running.add(attempt.margin)
