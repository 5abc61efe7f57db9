"""`GET /v1/records`, `DELETE /v1/records`: one's own records, page by page, and erased."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.accounts.keyring import Caller
from app.api.auth import Asking, tenant_of
from app.api.body import ClientLeft
from app.api.fields import Fields, NoReply, body_of, query_of
from app.api.story import json_reply
from app.archive import Archive
from app.conversations import as_recorded
from app.errors import RequestError
from app.explanation import story
from app.jsontext import Json
from app.record_files import encoded
from app.store.wanted import Wanted

BODY_BYTES = 64 * 1024
PAGE_RECORDS = 20
PAGE_RECORDS_MOST = 100
NAME_CHARACTERS = 256

_WORDS = ("policy", "tier", "task", "conversation", "principal")
_LISTING = ("tenant", "limit", "after", "since", "until", "order", "vectors", *_WORDS)
_ERASING = ("decision", "since", "before", "conversation", "principal")
_ORDERS = ("desc", "asc")


def records_router(archive: Archive) -> APIRouter:
    """Both routes; neither tells or touches another tenant's records, but for an admin."""
    router = APIRouter()

    @router.get("/records")
    async def list_records(request: Request, caller: Asking) -> Response:
        fields = Fields(query_of(request), _LISTING, query=True)
        return json_reply(await _page(archive, fields, caller))

    @router.delete("/records")
    async def erase_records(request: Request, caller: Asking) -> Response:
        try:
            body = await body_of(request, BODY_BYTES) if _has_body(request) else {}
        except ClientLeft:
            return NoReply()
        query = query_of(request)
        if query and body:
            raise RequestError("say what to erase in the query or in the body, not in both")
        fields = Fields(body or query, (*_ERASING, "all", "tenant"), query=not body)
        wanted = _to_erase(fields, caller)
        erased = await archive.erase(wanted)
        return json_reply({"object": "autoshift.records.deleted", "deleted": erased})

    return router


async def _page(archive: Archive, fields: Fields, caller: Caller) -> Json:
    """Source: OpenAI's lists; the newest first unless `order` is asc."""
    vectors = fields.boolean("vectors") is True
    limit = fields.count("limit", 1, PAGE_RECORDS_MOST)
    wanted = Wanted(
        tenant_of(caller, fields.text("tenant", most=NAME_CHARACTERS)),
        since_s=fields.moment_s("since"),
        before_s=fields.moment_s("until"),
        policy=fields.text("policy", most=NAME_CHARACTERS),
        tier=fields.text("tier", most=NAME_CHARACTERS),
        task=fields.text("task", most=NAME_CHARACTERS),
        conversation=_conversation(fields),
        principal=fields.text("principal", most=NAME_CHARACTERS),
    )
    page = await archive.page(
        wanted,
        after=fields.text("after", most=NAME_CHARACTERS),
        limit=limit or PAGE_RECORDS,
        newest_first=fields.choice("order", _ORDERS) != "asc",
        vectors=vectors,
    )
    ids = [record.id for record, _ in page.rows]
    return {
        "object": "list",
        "data": [
            story(record) | ({"vector": encoded(vector)} if vectors else {})
            for record, vector in page.rows
        ],
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": page.has_more,
    }


def _to_erase(fields: Fields, caller: Caller) -> Wanted:
    """Errors: RequestError where everything would be erased without being asked for."""
    every = fields.boolean("all")
    filters = [name for name in _ERASING if fields.has(name)]
    if every and filters:
        raise RequestError(f"all goes without {filters[0]}: they say different things", param="all")
    if not every and not filters:
        raise RequestError(
            f"say what to erase: {', '.join(_ERASING)}; or all: true to erase every record",
            code="missing_parameter",
            param="all",
        )
    return Wanted(
        tenant_of(caller, fields.text("tenant", most=NAME_CHARACTERS)),
        id=fields.text("decision", most=NAME_CHARACTERS),
        since_s=fields.moment_s("since"),
        before_s=fields.moment_s("before"),
        conversation=_conversation(fields),
        principal=fields.text("principal", most=NAME_CHARACTERS),
    )


def _conversation(fields: Fields) -> str | None:
    given = fields.text("conversation", most=NAME_CHARACTERS)
    return None if given is None else as_recorded(given)


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get(
        "content-length", "0"
    ).strip() not in {"", "0"}
