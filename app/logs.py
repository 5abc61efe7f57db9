"""The log: one line of JSON on standard error for every record."""

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from typing_extensions import override

Level: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: Level = "INFO") -> None:
    """Send everything that is logged in this process, uvicorn's part too, through one handler.

    HTTP libraries may put prompts in debug lines: they stay at WARNING whatever the level.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                **dict.fromkeys(("uvicorn", "uvicorn.error", "fastapi"), _THROUGH_ROOT),
                **{name: _THROUGH_ROOT | {"level": "WARNING"} for name in _TALKATIVE},
            },
        }
    )
    logging.captureWarnings(capture=True)


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
