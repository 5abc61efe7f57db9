"""`/healthz`, `/readyz`, `/metrics`: for whoever operates the gateway."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from app.accounts.limiter import Limiter
from app.drain import Drain
from app.recorder import Recorder
from app.telemetry.metrics import Metrics


def ops_router(
    recorder: Recorder,
    limiter: Limiter,
    metrics: Metrics,
    look: Callable[[], Awaitable[None]],
    drain: Drain,
) -> APIRouter:
    """Cheap answers that never touch a provider; `look` sees what there is to tell."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        # What records have to suffer is told but does not make us unready: requests are answered.
        # Anybody may ask, so that why is left to the log.
        ready = recorder.alive and not drain.began
        unready = "draining" if drain.began else "not ready"
        body = {
            "status": "ready" if ready else unready,
            "recorder": "alive" if recorder.alive else "dead",
            "store": "up" if recorder.trouble is None else "down",
            "outbox": recorder.outbox_state,
            "outbox_entries": recorder.backlog,
            "records_refused": recorder.refused,
            "limiter": "down" if limiter.is_down else "up",
        }
        return JSONResponse(body, status_code=200 if ready else 503)

    @router.get("/metrics")
    async def render_metrics() -> Response:
        await look()
        body, content_type = metrics.render()
        return Response(body, media_type=content_type)

    return router
