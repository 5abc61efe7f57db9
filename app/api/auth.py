"""Who may use which route: each one asks for a key, unless it is said to be open."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.accounts.keyring import Caller, Keyring
from app.accounts.limiter import Limiter
from app.api.admission import ADMITTED, Admission
from app.errors import PermissionDeniedError, UnknownKeyError
from app.jsontext import Json
from app.mode import ABOUT_ALL
from app.settings.keys import Role

Right: TypeAlias = Literal["open", "metrics", "user", "admin"]

EVERYBODY = "*"
"""In place of a tenant's name, for admins."""
OPEN: Mapping[str, Right] = {
    "/healthz": "open",
    "/readyz": "open",
    "/dashboard": "open",
    "/dashboard/{name}": "open",  # a page without figures
}
RIGHTS: Mapping[str, Right] = {**OPEN, "/metrics": "metrics"}
"""On the main port; any other route is for users."""
ADMIN_RIGHTS: Mapping[str, Right] = {**OPEN, "/metrics": "open"}
"""On the admin port; any other route is for admins."""

_MAY: Mapping[Right, frozenset[Role]] = {
    "metrics": frozenset({"metrics", "admin"}),
    "user": frozenset({"user", "admin"}),
    "admin": frozenset({"admin"}),
}


class Gate:
    """Puts routes into an application, each behind its right: `rights` by path, else `usual`.

    The right hangs on the route that was matched, never on what a request calls itself. `keyring`
    gives the keys of now.
    """

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        limiter: Limiter,
        *,
        rights: Mapping[str, Right],
        usual: Right,
    ) -> None:
        self._keyring = keyring
        self._admission = Admission(limiter)
        self._rights = rights
        self._usual = usual

    def add_all(self, app: FastAPI, router: APIRouter, prefix: str = "") -> None:
        """All routes of this router."""
        for route in router.routes:
            assert isinstance(route, APIRoute)  # noqa: S101 - there are no others
            methods = frozenset(route.methods or ())
            self.add(app, route.path, route.app, methods, prefix, plain=False)

    def add(
        self,
        app: FastAPI,
        path: str,
        endpoint: ASGIApp,
        methods: frozenset[str],
        prefix: str = "",
        *,
        plain: bool = True,
    ) -> None:
        """One route to this endpoint; `plain`: it needs nothing of the framework."""
        right = self._rights.get(path, self._usual)
        guarded = Guarded(endpoint, self._keyring, self._admission, right, plain=plain)
        route = Route(f"{prefix}{path}", guarded, methods=list(methods))
        route.methods = set(methods)  # it would add HEAD
        app.router.routes.append(route)


class Guarded:
    """An endpoint that only those see who have the right to."""

    def __init__(
        self,
        app: ASGIApp,
        keyring: Callable[[], Keyring],
        admission: Admission,
        right: Right,
        *,
        plain: bool,
    ) -> None:
        self.right = right
        self.plain = plain
        self._admission = admission
        self._app = app
        self._keyring = keyring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Errors: UnknownKeyError, PermissionDeniedError, RateLimitedError, nothing read."""
        if self.right == "open":
            await self._app(scope, receive, send)
            return
        caller = self._keyring().caller(presented(scope))
        if caller is None:
            raise UnknownKeyError(
                "the API key is missing or wrong; send one that this gateway was given, as "
                "Authorization: Bearer KEY"
            )
        if caller.role not in _MAY[self.right]:
            raise PermissionDeniedError(f"this is not for keys with the role {caller.role!r}")
        await self._admission.serve(self._app, caller, scope, receive, send)


def caller_of(scope: Scope) -> Caller:
    """Who was let in."""
    caller = scope[ADMITTED]
    assert isinstance(caller, Caller)  # noqa: S101 - nothing else is put there
    return caller


def _caller_of(request: Request) -> Caller:
    return caller_of(request.scope)


Asking: TypeAlias = Annotated[Caller, Depends(_caller_of)]
"""As a parameter of a route: who was let in."""


def presented(scope: Scope) -> str | None:
    """The key in this request's headers; None where there is none, or more than one."""
    for wanted in (b"authorization", b"api-key", b"x-api-key"):
        found = [value for name, value in scope["headers"] if name == wanted]
        if not found:
            continue
        value = found[0].decode("utf-8", "surrogateescape").strip()
        if wanted == b"authorization":
            scheme, _, value = value.partition(" ")
            if scheme.lower() != "bearer":
                continue
        return value.strip() if len(found) == 1 else None
    return None


def tenant_of(caller: Caller, named: str | None) -> str:
    """The tenant a request is about: the caller's own, unless an admin names another.

    Errors: PermissionDeniedError.
    """
    if named is None or named == caller.tenant:
        return caller.tenant
    if caller.role != "admin":
        raise PermissionDeniedError("only a key with the role 'admin' may name another tenant")
    return named


def mode_for(caller: Caller, told: Json) -> Json:
    """What this caller is told of the mode: of everybody's requests only an admin hears."""
    if caller.role == "admin":
        return told
    return {name: value for name, value in told.items() if name not in ABOUT_ALL}
