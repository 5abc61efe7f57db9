"""The composition root: what answers requests, behind HTTP, opened and closed together."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from app.accounts.keyring import Keyring
from app.api.auth import ADMIN_RIGHTS, EVERYBODY, RIGHTS, Gate
from app.api.chat import ChatEndpoint, chat_router
from app.api.dashboard import Figures, dashboard_router
from app.api.decisions import decisions_router
from app.api.door import guard
from app.api.explain import ExplainEndpoint
from app.api.feedback import Feedback, feedback_router
from app.api.openapi import openapi_router
from app.api.ops import ops_router
from app.api.passthrough import Passthrough
from app.api.records import records_router
from app.api.report import report_router
from app.api.room import build_room
from app.drain import Drain
from app.memory import Memory
from app.parts import build_parts, new_id
from app.retention import Retention
from app.rules import InForce
from app.settings import Settings
from app.settings.configuration import load_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The gateway as an ASGI application; without settings, the configured ones are loaded.

    Errors: SettingsError here; StoreLockedError, StoreMismatchError when the lifespan starts.
    """
    settings = settings or load_settings()
    parts = build_parts(settings)
    recorder = parts.recorder
    drain = Drain(parts.afterwards.stop)
    memory = Memory(parts, lambda: keyring().tenants)
    in_force = InForce(parts, lambda tenants: memory.restart(tenants).run())
    chat = ChatEndpoint(
        rules=lambda: in_force.rules,
        in_flight=parts.in_flight,
        drain=drain,
        server=settings.server,
        new_id=new_id,
        drive=parts.mode.drive,
        simulated=settings.simulated,
    )
    explain = ExplainEndpoint(
        rules=lambda: in_force.rules,
        order=chat.order,
        new_id=new_id,
        body_bytes=settings.server.body_bytes,
        simulated=settings.simulated,
    )
    feedback = Feedback(
        recorder=recorder,
        audience=parts.audience,
        clock=parts.clock,
        keep_comments=settings.records.text != "none",
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        restored = memory.restart(keyring().tenants)
        retention = Retention(
            archive=memory.archive,
            store=parts.store,
            clock=parts.clock,
            tenants=lambda: keyring().tenants,
            keep=settings.records.keep,
        )
        learning = (recorder, restored, parts.afterwards, parts.trying, retention)
        watching = (memory.relearning, parts.mode, parts.limiter, parts.vitals, in_force)
        async with parts.working(*learning, *watching):
            yield

    room = build_room(settings.limits, parts.metrics.traffic)
    app = FastAPI(title="Autoshift", lifespan=lifespan, openapi_url=None)
    app.state.parts, app.state.drain, app.state.in_force = parts, drain, in_force
    app.state.memory = memory
    admin = FastAPI(title="Autoshift, for its operators", openapi_url=None)

    def keyring() -> Keyring:
        return in_force.rules.keyring

    gate = Gate(keyring, parts.limiter, rights=RIGHTS, usual="user")
    admin_gate = Gate(keyring, parts.limiter, rights=ADMIN_RIGHTS, usual="admin")
    plain: dict[str, ASGIApp] = {
        "/chat/completions": chat,
        "/explain": explain,
        **{
            f"/{endpoint}": Passthrough(
                endpoint=endpoint,
                exchange=parts.exchange,
                in_flight=parts.in_flight,
                body_bytes=settings.server.body_bytes,
            )
            for endpoint in settings.passthrough
        },
    }
    described = openapi_router(version=version("autoshift"), passthrough=settings.passthrough)
    gate.add_all(app, described)
    told = partial(report_router, parts.tracker, mode=parts.told_mode, simulated=settings.simulated)
    for prefix in ("/v1", ""):
        for path, endpoint in plain.items():
            gate.add(app, path, endpoint, frozenset({"POST"}), prefix)
        for router in (
            chat_router(lambda: in_force.rules, time.time()),
            decisions_router(recorder),
            feedback_router(feedback),
            records_router(memory.archive),
            told(usual=None),
        ):
            gate.add_all(app, router, prefix)
        everybodys = told(usual=EVERYBODY)
        admin_gate.add_all(admin, everybodys, prefix)
    figures = Figures(
        parts.tracker, settings.policy, version("autoshift"), settings.simulated, parts.told_mode
    )
    for application, keeper in ((app, gate), (admin, admin_gate)):
        ops = ops_router(recorder, parts.limiter, parts.metrics, parts.vitals.look, drain)
        keeper.add_all(application, ops)
        usual = None if application is app else EVERYBODY
        keeper.add_all(application, dashboard_router(figures, usual=usual))
        guard(application, settings.server, new_id, room, keyed=not keyring().empty)
    app.state.admin = admin
    return app
