"""What a client asks of the gateway itself, in `autoshift: {…}` or `x-autoshift-*` headers."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.dials import DIALS, Dial, DialName, dial_max
from app.errors import RequestError
from app.jsontext import Json, number_of
from app.parameters import wrong_type

StreamMode: TypeAlias = Literal["verified", "direct", "auto"]

_STRINGS = ("policy", "task", "conversation")
_KEYS = frozenset({*_STRINGS, "learn", "explore", "dry_run", "stream", "max_cost_usd"})
LONGEST = 256


@dataclass(frozen=True, slots=True)
class Extension:
    """`stream` None is as configured; `learn` false leaves nothing to learn from.

    `explore` false: no other tier is asked afterwards, to learn. `dry_run`: no tier is asked at
    all, and the reply explains what would be done. `dial`: what accuracy is worth to
    this request. `max_cost_usd`: the most it may cost, everything done for it included.
    """

    policy: str | None = None
    task: str | None = None
    conversation: str | None = None
    stream: StreamMode | None = None
    learn: bool = True
    explore: bool = True
    dry_run: bool = False
    dial: Dial | None = None
    max_cost_usd: float | None = None


def parse_extension(given: object, headers: dict[str, str]) -> Extension:
    """The body's word counts before a header's. Errors: RequestError."""
    if not isinstance(given, dict | None):
        raise wrong_type("autoshift", "an object")
    values: Json = dict(given or {})
    dial = _dial({name: values.pop(name, None) for name in DIALS}) or _dial(_dials_in(headers))
    for name in _KEYS:
        header = headers.get(f"x-autoshift-{name.replace('_', '-')}")
        if header is not None:
            values.setdefault(name, header)
    for name in values:
        if name not in _KEYS:
            raise RequestError(
                f"autoshift.{name[:100]} is unknown; known: {', '.join(sorted({*_KEYS, *DIALS}))}",
                param=f"autoshift.{name[:100]}",
            )
    strings = {name: _string(name, values.get(name)) for name in _STRINGS}
    return Extension(
        **strings,
        stream=_mode(values.get("stream")),
        learn=_boolean("learn", values.get("learn")),
        explore=_boolean("explore", values.get("explore")),
        dry_run=values.get("dry_run") is not None and _boolean("dry_run", values["dry_run"]),
        dial=dial,
        max_cost_usd=_money(values.get("max_cost_usd")),
    )


def _dials_in(headers: dict[str, str]) -> dict[DialName, object]:
    """What headers say of the dials: numbers where they are any."""
    found: dict[DialName, object] = {}
    for name in DIALS:
        text = headers.get(f"x-autoshift-{name.replace('_', '-')}")
        try:
            found[name] = None if text is None else float(text)
        except ValueError:
            found[name] = text
    return found


def _dial(given: dict[DialName, object]) -> Dial | None:
    """The one dial that is set, if any."""
    names = [name for name, value in given.items() if value is not None]
    if not names:
        return None
    name, param = names[0], f"autoshift.{names[-1]}"
    if len(names) > 1:
        raise RequestError(f"autoshift.{name} and {param} exclude each other", param=param)
    value = number_of(given[name])
    if value is None:
        raise wrong_type(param, "a number")
    most = dial_max(name)
    if not 0 < value <= most:
        raise RequestError(f"{param} must be over 0, and at most {most:g}", param=param)
    return Dial(name, float(value))


def _money(value: object) -> float | None:
    param = "autoshift.max_cost_usd"
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, str) else number_of(value)
    except ValueError:
        number = None
    if number is None:
        raise wrong_type(param, "a number")
    if not 0 < number < math.inf:
        raise RequestError(f"{param} must be over 0", param=param)
    return float(number)


def _string(name: str, value: object) -> str | None:
    if not isinstance(value, str | None):
        raise wrong_type(f"autoshift.{name}", "a string")
    if value is not None and len(value) > LONGEST:
        raise RequestError(
            f"autoshift.{name} has {len(value)} characters; at most {LONGEST} are allowed",
            param=f"autoshift.{name}",
        )
    return value or None


def _mode(value: object) -> StreamMode | None:
    match value:
        case None | "verified" | "direct" | "auto":
            return value
        case _:
            raise RequestError(
                "autoshift.stream must be 'verified', 'direct' or 'auto'", param="autoshift.stream"
            )


def _boolean(name: str, value: object) -> bool:
    match value:
        case None | True | "true":
            return True
        case False | "false":
            return False
        case _:
            raise wrong_type(f"autoshift.{name}", "a boolean")
