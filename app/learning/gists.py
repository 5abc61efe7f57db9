"""What answers boil down to, so that they can be held against each other."""

from collections.abc import Sequence

from app.records import PROSE, Attempt


def gists(attempts: Sequence[Attempt]) -> list[str | None]:
    """What each answer boils down to, equal for those that agree; None where nobody can tell.

    Answers in prose are told apart by whoever compared them.
    """
    found = [_gist(attempt) for attempt in attempts]
    prose = [
        a.final_answer if gist is None else None for a, gist in zip(attempts, found, strict=True)
    ]
    for at, attempt in enumerate(attempts):
        if prose[at] is not None and prose[at] in prose[:at]:
            found[at] = found[prose.index(prose[at])] = prose[at]
        for verdict in attempt.verdicts:
            other = verdict.against
            if other is not None and verdict.valid is not None and 0 <= other < at:
                found[other] = found[other] or prose[other]
                found[at] = found[other] if verdict.valid else prose[at]
    return found


def _gist(attempt: Attempt) -> str | None:
    """What a short answer boils down to; None where comparing it would tell nothing."""
    digest = attempt.final_answer
    if attempt.outcome != "complete" or failed_check(attempt) or digest is None:
        return None
    return None if digest.startswith(PROSE) else digest


def failed_check(attempt: Attempt) -> bool:
    """Whether an exact check has refused the answer."""
    return any(verdict.valid is False and verdict.exact for verdict in attempt.verdicts)
