"""The report and the dashboard's figures as JSON Schema, for the description of the API."""

from app.api.schemas import ANY_OBJECT, BOOLEAN, NUMBER, STRING, list_of, object_of, or_null, ref
from app.jsontext import Json

REPORT_SCHEMAS: Json = {
    "Report": object_of(
        ["object", "simulated", "requests", "left_out", "state", "sentence", "alarms"],
        object={"const": "autoshift.report"},
        simulated=BOOLEAN,
        requests=NUMBER,
        left_out=NUMBER,
        state={"enum": ["unknown", "even", "pays", "fixed"]},
        sentence=STRING,
        served=or_null(ANY_OBJECT),
        fixed=ANY_OBJECT,
        best=or_null(ANY_OBJECT),
        gain=or_null(ANY_OBJECT),
        tied=or_null(ANY_OBJECT),
        since_s=or_null(NUMBER),
        complete_since_s={
            **or_null(NUMBER),
            "description": "Older requests are forgotten; null: none is",
        },
        tiers=list_of(STRING),
        hull=list_of(STRING),
        baseline=or_null(STRING),
        savings={
            **ANY_OBJECT,
            "description": "What routing saved against each tier alone; negative: it cost more",
        },
        saving_sentence=STRING,
        spend_usd_per_1000=or_null(ANY_OBJECT),
        counts=ANY_OBJECT,
        spend=ANY_OBJECT,
        accuracy_from={
            **ANY_OBJECT,
            "description": "By source, what stands behind the accuracy of what was served",
        },
        by_task=list_of(ANY_OBJECT),
        by_tier=list_of(ANY_OBJECT),
        by_tenant=list_of(ANY_OBJECT),
        alarms=list_of(ANY_OBJECT),
        mode=object_of(["name"], name={"enum": ["route", "shadow", "canary", "returned"]}),
    ),
    "Dashboard": object_of(
        ["object", "now_s", "report", "timeline", "calibration", "judges", "latency", "newest"],
        object={"const": "autoshift.dashboard"},
        now_s=NUMBER,
        policy=STRING,
        version=STRING,
        tenant=STRING,
        tenants=list_of(STRING),
        mode=ANY_OBJECT,
        report=ref("Report"),
        timeline=ANY_OBJECT,
        calibration=ANY_OBJECT,
        judges=ANY_OBJECT,
        latency=ANY_OBJECT,
        newest=list_of(ANY_OBJECT),
    ),
}
