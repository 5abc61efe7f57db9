"""The log is JSON lines, whatever is logged."""

import json
import logging
import subprocess
import sys

import pytest

from app.telemetry.logs import JsonFormatter

PROGRAM = """
import logging, warnings
from app.telemetry.logs import configure

configure("INFO")
logger = logging.getLogger("app.test")
logger.debug("too much")
logger.info("store is down", extra={"request_id": "r1", "waited_s": 0.5})
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
logging.getLogger("uvicorn.access").info("GET /v1/models")
logging.getLogger("httpx").info("HTTP Request: POST")
warnings.warn("old")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("a turn of the worker failed")
"""


def log_record(message: str, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "name": "app.test", **extra})


def test_everything_in_the_process_is_one_json_object_a_line() -> None:
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=15
    )

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.stdout == ""
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("app.test", "INFO"),
        ("uvicorn.error", "INFO"),
        ("py.warnings", "WARNING"),
        ("app.test", "ERROR"),
    ]
    assert lines[0]["message"] == "store is down"
    assert lines[0]["request_id"] == "r1"
    assert lines[0]["waited_s"] == 0.5
    assert lines[1]["message"] == "Started server process [7]"
    assert "ZeroDivisionError" in lines[3]["exception"]


@pytest.mark.parametrize(
    "text", ["two\nlines", "\r\nforged", "\x1b[31mred", "\x9b31m", "\u2028", "\u202e", "\ud800"]
)
def test_no_text_can_forge_a_line_or_colour_a_terminal(text: str) -> None:
    line = JsonFormatter().format(log_record(text, fact=text))

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == text
    assert json.loads(line)["fact"] == text


def test_a_fact_that_is_not_json_is_written_as_text() -> None:
    line = JsonFormatter().format(log_record("x", path=ValueError("v"), keyed={("a", "b"): 1}))

    assert json.loads(line)["path"] == "v"


def test_a_fact_never_hides_what_every_line_has() -> None:
    line = json.loads(JsonFormatter().format(log_record("the message", time="never")))

    assert line["message"] == "the message"
    assert line["time"].startswith("20")
    assert line["time"].endswith("+00:00")
