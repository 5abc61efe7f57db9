"""`/dashboard`: the page, its files, and the figures it shows; the page itself carries none."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import orjson
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.accounts.keyring import Caller
from app.api.auth import EVERYBODY, Asking, mode_for, tenant_of
from app.api.fields import Fields, query_of
from app.errors import NotFoundError
from app.jsontext import Json
from app.reporting.dashboard import dashboard_of
from app.reporting.report import snapshot_of
from app.reporting.tracker import Tracker

FOLDER = Path(__file__).with_name("page")
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
ASKED = ("tenant", "since", "baseline")
NAME_CHARACTERS = 64
FRESH_S = 1.0
KEPT = 32

Wanted: TypeAlias = tuple[str | None, ...]


@dataclass(slots=True)
class Figures:
    """What the page shows, worked out in a thread, at most once a second for all who look."""

    tracker: Tracker
    policy: str
    version: str
    simulated: bool
    mode: Callable[[], Json]
    _kept: OrderedDict[Wanted, tuple[float, bytes]] = field(default_factory=OrderedDict)
    _working: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def tell(self, caller: Caller, fields: Fields, usual: str | None) -> bytes:
        """As JSON. Errors: RequestError, PermissionDeniedError."""
        texts = {name: fields.text(name, most=NAME_CHARACTERS) for name in ASKED}
        tenant = tenant_of(caller, texts["tenant"] or usual)
        wanted = (tenant, texts["since"], texts["baseline"], caller.role)
        async with self._working:
            kept = self._kept.get(wanted)
            if kept is None or time.monotonic() - kept[0] > FRESH_S:
                told = await self._work_out(caller, tenant, fields, texts["baseline"])
                kept = self._kept[wanted] = time.monotonic(), orjson.dumps(told)
                self._kept.move_to_end(wanted)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return kept[1]

    async def _work_out(
        self, caller: Caller, tenant: str, fields: Fields, baseline: str | None
    ) -> Json:
        now_s, mode = time.time(), mode_for(caller, self.mode())
        taken = snapshot_of(
            self.tracker,
            None if tenant == EVERYBODY else tenant,
            since_s=fields.since_s("since", now_s),
            simulated=self.simulated,
        )
        about: Json = {"policy": self.policy, "version": self.version, "tenant": tenant}
        about["mode"] = mode
        if caller.role == "admin":
            about["tenants"] = sorted({caller.tenant, *taken.book.names["tenant"]})
        else:
            taken = replace(taken, alarms=())  # they are about everybody's requests

        def work() -> Json:
            return {**about, **dashboard_of(taken.told(), baseline or mode["tier"], now_s=now_s)}

        return await to_thread.run_sync(work)


def dashboard_router(figures: Figures, *, usual: str | None) -> APIRouter:
    """The page and its files, and figures of the caller's tenant, or by `usual` of another."""
    router = APIRouter()
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in KINDS}

    @router.get("/dashboard")
    async def show_page() -> Response:
        return _file("index.html", files["index.html"])

    @router.get("/dashboard/{name}")
    async def show_file(name: str) -> Response:
        if name not in files:
            raise NotFoundError(f"the dashboard has no file {name[:NAME_CHARACTERS]!r}")
        return _file(name, files[name])

    @router.get("/v1/dashboard")
    async def tell_figures(request: Request, caller: Asking) -> Response:
        fields = Fields(query_of(request), ASKED, query=True)
        told = await figures.tell(caller, fields, usual)
        return Response(told, media_type="application/json", headers={"cache-control": "no-store"})

    return router


def _file(name: str, content: bytes) -> Response:
    return Response(content, media_type=KINDS[Path(name).suffix], headers=HEADERS)
