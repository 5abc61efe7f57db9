"""Records as JSON lines: a header, then a record a line, with its vector."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import orjson

from app.errors import SettingsError
from app.records import Record, Vector, record_from_payload

FORMAT = "autoshift.records"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Header:
    """Whose vectors are in the file; `embedder` is None where none are known to be."""

    embedder: str | None

    def line(self) -> bytes:
        told = {"format": FORMAT, "version": VERSION, "embedder": self.embedder}
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One record of a file; `number` counts lines from 1, `size_bytes` is the line's length."""

    number: int
    record: Record
    vector: Vector | None
    size_bytes: int


def line_of(record: Record, vector: str | None) -> bytes:
    """The record with its vector as `encoded` gives it."""
    body = {"record": orjson.Fragment(record.to_json()), "vector": vector}
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def encoded(vector: Vector | None) -> str | None:
    """Base64 of the numbers as float32, lowest byte first."""
    if vector is None:
        return None
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def read_header(lines: Iterator[bytes]) -> Header:
    """Errors: SettingsError where it is no file of ours, or one of a later version."""
    match _json(next(lines, b"")):
        case {"format": "autoshift.records", "version": 1, "embedder": (str() | None) as embedder}:
            return Header(embedder)
        case {"format": "autoshift.records", "version": version}:
            raise SettingsError(f"line 1: version {version!r} of the format is not known here")
        case _:
            raise SettingsError("line 1: not a file that `autoshift records export` wrote")


def read_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """The records after the header. Errors: SettingsError, with the line."""
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        match _json(line):
            case {"record": dict() as payload, "vector": (str() | None) as vector}:
                record = record_from_payload(payload)
            case _:
                record, vector = None, None
        if record is None:
            raise SettingsError(f"line {number}: not a record")
        yield Line(number, record, _decoded(vector, number), len(line))


def _decoded(vector: str | None, number: int) -> Vector | None:
    if vector is None:
        return None
    try:
        return np.frombuffer(base64.b64decode(vector, validate=True), dtype="<f4")
    except (binascii.Error, ValueError) as exc:
        raise SettingsError(f"line {number}: its vector is not base64 of float32") from exc


def _json(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
