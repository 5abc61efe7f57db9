"""What of a policy's wish is paid for, where money or calls are short."""

from dataclasses import replace

from app.planning.climb import best_ended
from app.policy import Accept, Action, Ask, Judge, Stop
from app.tiers import TierLadder
from app.underway import Run


async def afford(action: Action, run: Run, ladder: TierLadder) -> Action:
    """The action, its worst case laid aside; else a cheaper tier's answer, or the best there is.

    `ladder` is every tier that may judge. A refusal is noted on the run.
    """
    purse = run.order.purse
    possible: Action | None
    match action:
        case Accept() | Stop():
            return action
        case Ask():
            possible = await _answer(action, run)
        case Judge():
            answers = [run.answers[action.attempt]]
            if action.against is not None:
                answers.append(run.answers[action.against])
            by, request = ladder[action.by], run.order.request
            able = await purse.for_verdict(by, request, answers, action.samples or 1)
            possible = action if able else None
            if possible is None:
                run.degrade(purse.why)
    if possible is not None:
        return possible
    run.refusal = purse.refusal
    return Stop(best_ended(run.order.ladder, run.record.attempts))


async def _answer(ask: Ask, run: Run) -> Ask | None:
    """The tier that is wished for; while there is no answer yet, also one below it."""
    purse, request, ladder = run.order.purse, run.order.request, run.order.ladder
    attempts = run.record.attempts
    has_answer = any(attempt.ended for attempt in attempts)
    if has_answer and not await purse.may_escalate():
        run.degrade("escalations")
        return None
    tried = {attempt.tier for attempt in attempts}
    below = [] if has_answer else [t for t in ladder.below(ask.tier) if t.name not in tried]
    for tier in (ladder[ask.tier], *below):
        if await purse.for_answer(tier, request):
            return replace(ask, tier=tier.name)
        run.degrade(purse.why)
    return None
