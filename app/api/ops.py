"""`/healthz`, `/readyz`, `/metrics`: for whoever operates the gateway."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from app.metrics import Metrics
from app.recorder import Recorder


def ops_router(recorder: Recorder, metrics: Metrics) -> APIRouter:
    """Cheap answers that never touch a provider."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        # A store that is down is told but does not make us unready: requests are still answered.
        body = {
            "status": "ready" if recorder.alive else "not ready",
            "recorder": "alive" if recorder.alive else "dead",
            "store": "up" if recorder.trouble is None else "down",
            "outbox_entries": recorder.backlog,
        }
        return JSONResponse(body, status_code=200 if recorder.alive else 503)

    @router.get("/metrics")
    async def render_metrics() -> Response:
        body, content_type = metrics.render()
        return Response(body, media_type=content_type)

    return router
