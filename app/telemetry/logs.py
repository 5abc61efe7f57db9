"""The log: one line of JSON on standard error for every record.

A thread writes it, so that nobody waits for whoever reads it, or does not.
"""

import atexit
import json
import logging
import logging.config
import queue
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Literal, TypeAlias

from typing_extensions import override

WAITING = 10_000

Level: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: Level = "INFO") -> None:
    """Send everything that is logged in this process, uvicorn's part too, through one handler.

    HTTP libraries may put prompts in debug lines: they stay at WARNING whatever the level.
    """
    listener = QueueListener(queue.Queue(WAITING), logging.StreamHandler())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"()": lambda: Waiting(listener.queue), "formatter": "json"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                **dict.fromkeys(("uvicorn", "uvicorn.error", "fastapi"), _THROUGH_ROOT),
                **{name: _THROUGH_ROOT | {"level": "WARNING"} for name in _TALKATIVE},
            },
        }
    )
    logging.captureWarnings(capture=True)
    listener.start()
    atexit.register(listener.stop)


class Waiting(QueueHandler):
    """Lines wait for the thread that writes them; where too many do, a line is lost, not time."""

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self.queue.put_nowait(record)


class JsonFormatter(logging.Formatter):
    """A record and the facts in its `extra` as one JSON object.

    Control characters, line ends and what is not ASCII are escaped: no client can forge a line or
    colour a terminal. A fact that is not JSON is written as its `str`.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, fact in vars(record).items():
            if name not in _STANDARD:
                line.setdefault(name, fact)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, skipkeys=True)


_THROUGH_ROOT = {"handlers": [], "propagate": True, "level": "NOTSET"}
_TALKATIVE = ("uvicorn.access", "httpx", "httpcore", "aiohttp", "qdrant_client", "grpc", "asyncio")
