"""What a check found: how bad it is, what it is about, and what would be right."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from app.jsontext import Json

Level: TypeAlias = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` is what to do about it; None where nothing has to be done."""

    level: Level
    about: str
    says: str
    remedy: str | None = None


def worst(findings: Sequence[Finding]) -> Level:
    """`ok` where nothing was found."""
    levels: tuple[Level, ...] = ("error", "warning")
    return next((level for level in levels if any(f.level == level for f in findings)), "ok")


def to_json(findings: Sequence[Finding]) -> Json:
    """`ok` is whether the gateway would serve: warnings do not keep it from that."""
    return {
        "ok": worst(findings) != "error",
        "findings": [asdict(finding) for finding in findings],
    }
