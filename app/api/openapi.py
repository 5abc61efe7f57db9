"""`GET /openapi.json`: every route, with the bodies that the framework cannot derive."""

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.api.report_schemas import REPORT_SCHEMAS
from app.api.schemas import ANY_OBJECT, BOOLEAN, EVENT, INTEGER, MOMENT, SCHEMAS, STRING, ref
from app.jsontext import Json

VERSION = "3.1.0"
PREFIXES = ("/v1", "")
TENANT: Json = {**STRING, "description": "For keys with the role admin: whose, if not one's own"}


def openapi_router(*, version: str, passthrough: Iterable[str]) -> APIRouter:
    """Serves the document, which is made once."""
    router = APIRouter()
    told = document(version=version, passthrough=passthrough)

    @router.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(told)

    return router


def document(*, version: str, passthrough: Iterable[str]) -> Json:
    """The whole description. Source: OpenAPI 3.1."""
    paths = {f"{prefix}{path}": item for prefix in PREFIXES for path, item in _SERVED.items()}
    for prefix in PREFIXES:
        for endpoint in passthrough:
            paths[f"{prefix}/{endpoint}"] = {"post": _forwarded(endpoint)}
    return {
        "openapi": VERSION,
        "info": {"title": "Autoshift", "version": version},
        "paths": {**paths, **_OPERATED},
        "components": {"schemas": {**SCHEMAS, **REPORT_SCHEMAS}},
    }


def _content(kind: str, schema: Json) -> Json:
    return {kind: {"schema": schema}}


def _reply(description: str, schema: Json) -> Json:
    return {"description": description, "content": _content("application/json", schema)}


def _file(kind: str) -> Json:
    return {"description": "A file", "content": _content(kind, STRING)}


_ERRORS: Json = {
    "4XX": _reply("The request is wrong, or asks too much", ref("Error")),
    "5XX": _reply("The gateway or its providers could not answer", ref("Error")),
}


def _operation(summary: str, ok: Json, **more: object) -> Json:
    return {"summary": summary, **more, "responses": {"200": ok, **_ERRORS}}


def _get(summary: str, ok: Json, *parameters: str) -> Json:
    wanted = _path(*parameters)
    return {"get": _operation(summary, ok, **({"parameters": wanted} if wanted else {}))}


def _path(*names: str) -> list[Json]:
    schema: Json = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _body(schema: Json, *, required: bool = True) -> Json:
    return {"required": required, "content": _content("application/json", schema)}


def _query(**schemas: Json) -> list[Json]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


def _forwarded(endpoint: str) -> Json:
    ok = {
        "description": "What the provider answers, as it is",
        "content": {"application/json": {}, "text/event-stream": {}, "*/*": {}},
    }
    summary = f"Forwarded to the provider under passthrough.{endpoint}; not routed"
    return _operation(summary, ok, requestBody=_body(ANY_OBJECT))


_COMPLETED: Json = {
    "description": "The answer; a stream of chunks where `stream` is true",
    "content": {
        **_content("application/json", ref("Completion")),
        **_content("text/event-stream", EVENT),
    },
}

_REPORTED: Json = {
    "tenant": {**TENANT, "description": f"{TENANT['description']}; * for all together"},
    "since": {**STRING, "description": "A moment, or how long ago: 30m, 24h, 7d, 2w"},
    "baseline": {**STRING, "description": "The tier to compare with; left out: the dearest"},
}

_SERVED: Json = {
    "/chat/completions": {
        "post": _operation(
            "Answer a conversation from the cheapest tier that will do",
            _COMPLETED,
            requestBody=_body(ref("ChatRequest")),
        )
    },
    "/models": _get("The models that can be asked for", _reply("All of them", ref("Models"))),
    "/models/{name}": _get("One model", _reply("It exists", ref("Model")), "name"),
    "/decisions/{decision_id}": {
        "get": _operation(
            "What happened to one request",
            _reply("Its record", ref("Decision")),
            parameters=[*_path("decision_id"), *_query(tenant=TENANT)],
        )
    },
    "/explain": {
        "post": _operation(
            "Say what would be done with a conversation, and why; no tier is asked",
            _reply("The explanation", ref("Explanation")),
            requestBody=_body(ref("ChatRequest")),
        )
    },
    "/feedback": {
        "post": _operation(
            "Say what became known about an answer",
            _reply("It is kept", ref("Feedback")),
            requestBody=_body(ref("FeedbackRequest")),
        )
    },
    "/report": {
        "get": _operation(
            "Whether routing pays",
            _reply("How things stand", ref("Report")),
            parameters=_query(**_REPORTED),
        )
    },
    "/records": {
        "get": _operation(
            "One's own records, the newest first",
            _reply("A page of them", ref("Records")),
            parameters=_query(
                tenant=TENANT,
                limit={**INTEGER, "minimum": 1, "maximum": 100, "default": 20},
                after={**STRING, "description": "The id that the page before ended with"},
                order={"enum": ["desc", "asc"]},
                since=MOMENT,
                until=MOMENT,
                policy=STRING,
                tier={**STRING, "description": "Asked on the way, whoever answered in the end"},
                task=STRING,
                conversation=STRING,
                principal={**STRING, "description": "The name of the key it was asked with"},
                vectors={**BOOLEAN, "description": "Each with its `vector`: float32, base64"},
            ),
        ),
        "delete": _operation(
            "Erase one's own records",
            _reply("They are erased", ref("Erased")),
            parameters=_query(
                tenant=TENANT,
                decision=STRING,
                since=MOMENT,
                before=MOMENT,
                conversation=STRING,
                principal=STRING,
                all=BOOLEAN,
            ),
            requestBody=_body(ref("EraseRequest"), required=False),
        ),
    },
}

_READY = _reply("Requests are served", ref("Ready"))
_UNREADY = _reply("Requests are not served", ref("Ready"))

_OPERATED: Json = {
    "/healthz": _get("Whether the process lives", _reply("It does", ANY_OBJECT)),
    "/readyz": {
        "get": {
            "summary": "Whether requests are served",
            "responses": {**_ERRORS, "200": _READY, "503": _UNREADY},
        }
    },
    "/metrics": _get(
        "Prometheus metrics",
        {"description": "Samples", "content": _content("text/plain", STRING)},
    ),
    "/dashboard": _get("The dashboard", _file("text/html")),
    "/dashboard/{name}": _get("One of the dashboard's files", _file("*/*"), "name"),
    "/v1/dashboard": {
        "get": _operation(
            "What the dashboard shows: the report, and how things went over time",
            _reply("The figures", ref("Dashboard")),
            parameters=_query(**_REPORTED),
        )
    },
    "/openapi.json": _get("This document", _reply("OpenAPI", ANY_OBJECT)),
}
