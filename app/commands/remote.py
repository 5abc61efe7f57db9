"""Records behind a running gateway, through its HTTP API."""

import argparse
import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import IO
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from app.errors import StoreDownError, StoreError
from app.jsontext import Json
from app.record_files import Header, line_of
from app.records import Record, record_from_payload
from app.reporting.report import OBJECT as REPORT
from app.settings.configuration import secret
from app.settings.keys import LOCAL
from app.store.wanted import Wanted

PAGE_RECORDS = 100
TIMEOUT_S = 600.0
"""Erasing many records takes long, and nothing is said meanwhile."""
WAIT_S_MOST = 60
"""A key may read so often a minute: pages wait for the next one."""


def add_remote(parser: argparse.ArgumentParser) -> None:
    """The options that say which running gateway, by which key, and whose records there."""
    parser.add_argument("--url", help="of a running gateway, such as http://127.0.0.1:8080")
    parser.add_argument(
        "--key-env", metavar="NAME", help="the variable with the key for it, where it asks for one"
    )
    add_tenant(parser)


def add_tenant(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", metavar="NAME", help="whose; default: the key's own, or local")


def whose(given: argparse.Namespace) -> str:
    """Whose records in a store that is read here."""
    return given.tenant or LOCAL


def remote(given: argparse.Namespace, url: str) -> "RemoteRecords":
    """The gateway at this address, as the options say. Errors: SettingsError."""
    return RemoteRecords(url, key=secret(given.key_env, wanted_by="--key-env"), tenant=given.tenant)


class RemoteRecords:
    """One gateway's, and what it makes of them. `tenant`: for an admin, whose.

    Errors of every method: StoreError, with what the gateway said.
    """

    def __init__(
        self, url: str, *, key: SecretStr | None = None, tenant: str | None = None
    ) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._headers = {} if key is None else {"api-key": key.get_secret_value()}
        self._whose = {} if tenant is None else {"tenant": tenant}

    async def export(self, file: IO[bytes], advance: Callable[[int], None]) -> int:
        """How many were written, the oldest first."""
        newest = await self._ask("GET", {"limit": "1"})
        embedders = [each["embedder"] for each in newest["data"]]
        file.write(Header(embedders[0] if embedders else None).line())
        written = 0
        async with aclosing(self._pages(vectors=True)) as pages:
            async for page in pages:
                for told in page:
                    record = record_from_payload(told)
                    if record is not None:
                        file.write(line_of(record, told["vector"]))
                        written += 1
                advance(len(page))
        return written

    async def records(self) -> AsyncGenerator[list[Record], None]:
        """All of them, some at a time, the oldest first."""
        async with aclosing(self._pages(vectors=False)) as pages:
            async for page in pages:
                found = [record_from_payload(told) for told in page]
                yield [record for record in found if record is not None]

    async def erase(self, wanted: Wanted) -> int:
        """How many were erased."""
        given = {
            "decision": wanted.id,
            "since": wanted.since_s,
            "before": wanted.before_s,
            "conversation": wanted.conversation,
            "principal": wanted.principal,
        }
        filters = {name: str(value) for name, value in given.items() if value is not None}
        erased = await self._ask("DELETE", filters or {"all": "true"})
        return int(erased["deleted"])

    async def report(self, **asked: str) -> Json:
        """Whether routing pays there; `asked` as in the query of `GET /v1/report`."""
        report = await self._ask("GET", asked, "report")
        if report.get("object") != REPORT:
            raise StoreError(f"{self._url} does not tell reports")
        return report

    async def explain(self, body: Json) -> Json:
        """What would be done there with this chat request."""
        return await self._ask("POST", {}, "explain", body)

    async def decision(self, decision_id: str) -> Json:
        """What was done there."""
        return await self._ask("GET", {}, f"decisions/{quote(decision_id, safe='')}")

    async def _pages(self, *, vectors: bool) -> AsyncGenerator[list[Json], None]:
        query = {"limit": str(PAGE_RECORDS), "order": "asc", "vectors": str(vectors).lower()}
        while True:
            page = await self._ask("GET", query)
            yield page["data"]
            if not page["has_more"]:
                return
            query["after"] = page["last_id"]

    async def _ask(
        self, method: str, query: Mapping[str, str], what: str = "records", body: Json | None = None
    ) -> Json:
        mine = {} if what == "explain" else self._whose
        url, params = f"{self._url}/v1/{what}", {**query, **mine}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, headers=self._headers) as http:
                while True:
                    reply = await http.request(method, url, params=params, json=body)
                    wait_s = _wait_s(reply)
                    if method != "GET" or wait_s is None:
                        break
                    await asyncio.sleep(wait_s)
                told = reply.json()
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise StoreDownError(f"{self._url} does not answer: {exc}") from exc
        except ValueError as exc:
            raise StoreError(f"{self._url} is no Autoshift gateway") from exc
        if not isinstance(told, dict) or not reply.is_success:
            error = told.get("error") if isinstance(told, dict) else None
            said = (
                error.get("message") if isinstance(error, dict) else f"status {reply.status_code}"
            )
            raise StoreError(f"{self._url}: {said}")
        return told


def _wait_s(reply: httpx.Response) -> float | None:
    """How long to wait before it is asked again; None where that is not said, or would not help."""
    said = reply.headers.get("retry-after", "")
    if reply.status_code != httpx.codes.TOO_MANY_REQUESTS or not said.isdecimal():
        return None
    return max(1.0, float(said)) if int(said) <= WAIT_S_MOST else None
