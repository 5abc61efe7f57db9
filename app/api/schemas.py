"""The bodies of requests and replies as JSON Schema, for the description of the API."""

from collections.abc import Iterable, Mapping

from app.dials import DIALS, DialName, dial_max
from app.jsontext import Json
from app.parameters import PARAMETERS, Parameter
from app.wire import FINISH_REASONS, ROLES

STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
ANY_OBJECT: Json = {"type": "object"}
MOMENT: Json = {
    "type": ["number", "string", "null"],
    "description": "Unix time in seconds, or a date and time of ISO 8601",
}


def object_of(required: Iterable[str] = (), **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(items: Json) -> Json:
    return {"type": "array", "items": items}


EVENT = object_of(["data"], data={**STRING, "description": "A chunk as JSON; at the end [DONE]"})


def or_null(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def _parameter(parameter: Parameter) -> Json:
    """A row of the table that requests are checked by; null is as good as absent."""
    schema: Json = {"type": [*parameter.kinds, "null"]}
    if parameter.low is not None:
        schema["minimum"] = parameter.low
    if parameter.high is not None:
        schema["maximum"] = parameter.high
    if parameter.most is not None:
        for kind, bound in _BOUNDS.items():
            if kind in parameter.kinds and not (kind == "string" and "array" in parameter.kinds):
                schema[bound] = parameter.most
    return schema


def _dial(name: DialName) -> Json:
    most = dial_max(name)
    return {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": most}


_BOUNDS: Mapping[str, str] = {
    "array": "maxItems",
    "object": "maxProperties",
    "string": "maxLength",
}

_NAMED_TOOL = object_of(
    function=object_of(["name"], name=STRING), custom=object_of(["name"], name=STRING)
)

# Where the table knows the type only, the shape; `check_parameters` has the same rules.
_SHAPES: Mapping[str, Json] = {
    "functions": {"items": ANY_OBJECT},
    "logit_bias": {"additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}},
    "metadata": {
        "propertyNames": {"maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    },
    "modalities": {"items": STRING},
    "response_format": object_of(
        ["type"],
        type={"enum": ["text", "json_object", "json_schema"]},
        json_schema=or_null(ANY_OBJECT),
    ),
    "stop": {"items": STRING},
    "stream_options": object_of(include_usage=or_null(BOOLEAN)),
    "tool_choice": {"properties": _NAMED_TOOL["properties"]},
    "tools": {"items": _NAMED_TOOL},
}


def _parameters() -> dict[str, Json]:
    return {
        name: {**_SHAPES.get(name, {}), **_parameter(parameter)}
        for name, parameter in PARAMETERS.items()
    }


_CALL = object_of(
    ["id", "type"],
    id=STRING,
    type={"enum": ["function", "custom"]},
    function=object_of(["name", "arguments"], name=STRING, arguments=STRING),
)

SCHEMAS: Json = {
    "Error": object_of(
        ["error"],
        error=object_of(
            ["message", "type", "param", "code"],
            message=STRING,
            type=STRING,
            param=or_null(STRING),
            code=or_null(STRING),
        ),
    ),
    "Message": object_of(
        ["role"],
        role={"enum": list(ROLES)},
        content={"type": ["string", "array", "null"], "items": ANY_OBJECT},
        tool_calls={"type": ["array", "null"], "items": ANY_OBJECT},
    ),
    "Extension": {
        **object_of(
            policy=STRING,
            task=STRING,
            conversation=STRING,
            stream={"enum": ["verified", "direct", "auto"]},
            learn=BOOLEAN,
            explore=BOOLEAN,
            dry_run={**BOOLEAN, "description": "No tier is asked; the reply explains"},
            max_cost_usd={
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "description": "The most it may cost, everything done for it included",
            },
            **{name: _dial(name) for name in DIALS},
        ),
        "description": "What is asked of the gateway itself; never forwarded. At most one of "
        f"{', '.join(DIALS)}",
    },
    "ChatRequest": object_of(
        ["model", "messages"],
        model={**STRING, "examples": ["auto"]},
        messages={**list_of(ref("Message")), "minItems": 1},
        autoshift=ref("Extension"),
        **_parameters(),
    ),
    "Facts": object_of(
        ["decision", "tier", "cost_usd", "verified", "degraded", "dropped"],
        decision=or_null(STRING),
        tier=or_null(STRING),
        cost_usd=or_null(NUMBER),
        verified=BOOLEAN,
        degraded=list_of(STRING),
        dropped=list_of(STRING),
        simulated=BOOLEAN,
    ),
    "Completion": object_of(
        ["id", "object", "created", "model", "choices", "autoshift"],
        id=STRING,
        object={"const": "chat.completion"},
        created=INTEGER,
        model=STRING,
        choices=list_of(
            object_of(
                ["index", "message", "finish_reason"],
                index=INTEGER,
                message=object_of(
                    ["role", "content"],
                    role={"const": "assistant"},
                    content=or_null(STRING),
                    tool_calls=list_of(_CALL),
                ),
                finish_reason={"enum": sorted(FINISH_REASONS)},
            )
        ),
        usage=or_null(ANY_OBJECT),
        autoshift=ref("Facts"),
    ),
    "Model": object_of(
        ["id", "object", "created", "owned_by"],
        id=STRING,
        object={"const": "model"},
        created=INTEGER,
        owned_by=STRING,
    ),
    "Models": object_of(["object", "data"], object={"const": "list"}, data=list_of(ref("Model"))),
    "Decision": object_of(
        ["object", "id", "outcome", "served_tier", "verified", "cost_usd", "costs_usd"],
        object={"const": "autoshift.decision"},
        id=STRING,
        outcome=STRING,
        served_tier=or_null(STRING),
        verified=BOOLEAN,
        cost_usd=or_null(NUMBER),
        costs_usd=ANY_OBJECT,
    ),
    "Explanation": object_of(
        ["object", "kind", "policy", "tiers", "ruled_out", "neighbours", "first", "sentence"],
        object={"const": "autoshift.explanation"},
        kind={"enum": ["routed", "pinned"]},
        policy=STRING,
        tiers=list_of(object_of(["tier", "accuracy", "ask_usd"], tier=STRING)),
        ruled_out=list_of(object_of(["tier", "why"], tier=STRING, why=STRING)),
        neighbours=list_of(object_of(["decision", "similarity", "age_s", "labels"])),
        trade=or_null(ANY_OBJECT),
        actions=list_of(object_of(["do", "tier", "value"])),
        flips=list_of(object_of(["name", "tier", "now", "at", "then"])),
        first=object_of(["do"], do=STRING),
        sentence=STRING,
    ),
    "Records": object_of(
        ["object", "data", "first_id", "last_id", "has_more"],
        object={"const": "list"},
        data=list_of(ref("Decision")),
        first_id=or_null(STRING),
        last_id=or_null(STRING),
        has_more=BOOLEAN,
    ),
    "FeedbackRequest": {
        **object_of(
            ["decision"],
            decision={**STRING, "minLength": 1, "maxLength": 64},
            correct=or_null(BOOLEAN),
            score={"type": ["number", "null"], "minimum": 0, "maximum": 1},
            comment={**or_null(STRING), "maxLength": 4000},
            correct_answer={**or_null(STRING), "maxLength": 256 * 1024},
            outcome={**or_null(STRING), "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"},
            by={**or_null(STRING), "maxLength": 64},
        ),
        "additionalProperties": False,
        "description": "At least one of correct, score, comment, correct_answer; with `outcome`, "
        "a word for what happened afterwards, `correct` as well",
    },
    "Feedback": object_of(
        ["object", "decision", "accepted", "source", "by", "comment_kept"],
        object={"const": "autoshift.feedback"},
        decision=STRING,
        accepted={"const": True},
        source={"enum": ["feedback", "outcome"]},
        by=STRING,
        comment_kept=BOOLEAN,
    ),
    "EraseRequest": {
        **object_of(
            decision=or_null(STRING),
            since=MOMENT,
            before=MOMENT,
            conversation=or_null(STRING),
            principal=or_null(STRING),
            tenant=or_null(STRING),
            all=or_null(BOOLEAN),
        ),
        "additionalProperties": False,
        "description": "What to erase, here or in the query; `all` alone stands for everything",
    },
    "Erased": object_of(
        ["object", "deleted"],
        object={"const": "autoshift.records.deleted"},
        deleted=INTEGER,
    ),
    "Ready": object_of(
        ["status", "recorder", "store", "outbox_entries"],
        status={"enum": ["ready", "not ready", "draining"]},
        recorder={"enum": ["alive", "dead"]},
        store={"enum": ["up", "down"]},
        outbox={"enum": ["taking", "unsynced", "refusing"]},
        outbox_entries=INTEGER,
        records_refused=INTEGER,
        limiter={"enum": ["up", "down"]},
    ),
}
