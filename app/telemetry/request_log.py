"""One line in the log for every request: what became of it, never what was said."""

import logging

from app.records import Record
from app.telemetry.traceparent import ids_of

logger = logging.getLogger(__name__)


def log_request(record: Record, acknowledged: bool) -> None:
    """Units: USD; None is unknown."""
    if not logger.isEnabledFor(logging.INFO):
        return
    served = record.served_attempt
    trace_id, _ = ids_of(record)
    facts = {
        "decision": record.id,
        "trace_id": f"{trace_id:032x}",
        "tenant": record.tenant,
        "key": record.principal,
        "kind": record.kind,
        "policy": record.policy,
        "outcome": record.outcome,
        "error": record.error,
        "tier": served.tier if served else None,
        "tiers": [attempt.tier for attempt in record.attempts],
        "verified": record.verified,
        "stream": record.stream,
        "cost_usd": record.cost_usd,
        "latency_s": round(record.latency_s, 4),
        "degraded": list(record.degraded),
        "acknowledged": acknowledged,
        "trial_of": record.trial_of,
    }
    logger.info("request", extra={name: fact for name, fact in facts.items() if fact is not None})
