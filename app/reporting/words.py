"""What a report says, in sentences and in tables of text, wherever they are shown."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.jsontext import Json

UNKNOWN = "?"
_SOURCES = {
    "feedback": "feedback",
    "check": "exact checks",
    "arbiter": "an arbiter",
    "comparison": "audits beside another tier",
    "judge": "verdicts corrected for the judge's errors",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text: names first, then figures. `harmed` are the numbers of rows."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    harmed: set[int] = field(default_factory=set)


def sheets(report: Json) -> Iterator[Sheet]:
    """Every way to answer, and the groups where there is more than one."""
    simulated = " (simulated)" if report["simulated"] else ""
    if report["served"] is not None:
        yield _ways(report, f"Does routing pay?{simulated}")
    for by in ("task", "tier", "tenant"):
        groups = report.get(f"by_{by}", ())
        if len(groups) > 1:
            yield _groups(groups, by, f"By {by}, beside {report['baseline']}{simulated}")


def sentences(report: Json) -> Iterator[str]:
    """The verdict first, the alarms last."""
    yield _capital(report["sentence"])
    if report["served"] is not None:
        yield _capital(report["saving_sentence"])
        fading = "the older ones fading; " if report["since_s"] is None else ""
        yield (
            f"Estimated from {report['requests']:,.0f} requests, {fading}"
            f"{report['left_out']:.0%} of all cannot be compared and are left out."
        )
        yield f"The accuracy served is estimated from {_sources(report)}."
    yield from _spent(report)
    yield from _mode(report.get("mode", {}))
    for alarm in report["alarms"]:
        since = datetime.fromtimestamp(alarm["since_s"], UTC)
        yield f"ALARM since {since:%Y-%m-%d %H:%M} UTC: {alarm['sentence']}."


def dollars(usd: float | None) -> str:
    """Without the sign."""
    return UNKNOWN if usd is None else f"{usd:,.3g}" if usd < 1 else f"{usd:,.2f}"


def _ways(report: Json, title: str) -> Sheet:
    heads = ("accuracy", "95 % interval", "$ per 1,000", "saved by routing", "evidence")
    sheet = Sheet(title, ("served by", *heads))
    ways = {"routing": report["served"]}
    ways |= {f"always {tier}": way for tier, way in report["fixed"].items()}
    saved = {f"always {tier}": _saved(one) for tier, one in report["savings"].items()}
    for name, way in ways.items():
        accuracy, usd = way["accuracy"], way["usd_per_1000"]["value"]
        figures = (_rounded(accuracy["value"]), _interval(accuracy), dollars(usd))
        sheet.rows.append((name, *figures, saved.get(name, ""), f"{accuracy['n_eff']:,.0f}"))
    best = report["best"]
    if best is not None and best["cheaper"] != best["dearer"]:
        coin = f"{best['cheaper']} {1 - best['share']:.0%}, {best['dearer']} {best['share']:.0%}"
        usd = dollars(best["usd_per_1000"])
        sheet.rows.append((coin, _rounded(best["accuracy"]), "", usd, "", ""))
    return sheet


def _groups(groups: list[Json], by: str, title: str) -> Sheet:
    heads = ("requests", "accuracy", "against it, points", "$ per 1,000", "saved")
    sheet = Sheet(title, (by, *heads))
    for number, group in enumerate(groups):
        served, against = group["served"], group["against"]
        points = _points(against["accuracy"])
        if against["harm"]:
            points += " WORSE"
            sheet.harmed.add(number)
        usd = dollars(served["usd_per_1000"]["value"])
        figures = (_rounded(served["accuracy"]["value"]), points, usd, _saved(against))
        sheet.rows.append((str(group["name"] or "-"), f"{group['requests']:,}", *figures))
    return sheet


def _spent(report: Json) -> Iterator[str]:
    rates = report["spend_usd_per_1000"]
    if rates is not None:
        yield f"Of routing's $ per 1,000: {_purposes(rates)}."
    counts, spend = report["counts"], report["spend"]
    if counts["all"]:
        unknown = spend["requests_of_unknown_cost"]
        missing = f"; the cost of {unknown:,} requests is unknown" if unknown else ""
        yield (
            f"All {counts['all']:,} requests, {counts['pinned']:,} of them pinned: "
            f"${dollars(spend['usd'])} ({_purposes(spend['by_purpose_usd'])}){missing}."
        )


def _mode(mode: Json) -> Iterator[str]:
    """Where not everything is routed, who answers instead."""
    if mode.get("name", "route") == "route":
        return
    share = "" if mode["name"] != "canary" else f" all but {mode['canary']:.0%} of"
    yield (
        f"Mode {mode['name']}: {mode['tier']} answers{share} what would be routed; what is said of "
        "routing comes from trials beside it."
    )
    if "tried" in mode:
        spent = dollars(mode["spent_usd"])
        yield f"Tried since the start: {mode['tried']:,} requests, for ${spent}."
    if mode.get("returned"):
        yield f"The canary was worse: {mode['returned']}; so it is shadow again."


def _purposes(spent: Json) -> str:
    return ", ".join(f"{purpose} {dollars(usd)}" for purpose, usd in spent.items())


def _sources(report: Json) -> str:
    parts = [
        f"{_SOURCES[name]} {source['weight']:.0%} ({source['labels']:,})"
        for name, source in report["accuracy_from"].items()
        if source["labels"]
    ]
    return ", ".join(parts) or "no labels yet"


def _capital(sentence: str) -> str:
    return f"{sentence[0].upper()}{sentence[1:]}."


def _interval(figure: Json) -> str:
    """Where there is none, why."""
    if figure["value"] is None:
        return str(figure["why"] or UNKNOWN)
    return f"{_rounded(figure['low'])} to {_rounded(figure['high'])}"


def _rounded(value: float | None) -> str:
    """Estimates may leave [0, 1] a little; accuracies do not."""
    return UNKNOWN if value is None else f"{min(1.0, max(0.0, value)):.3f}"


def _saved(against: Json) -> str:
    """Signed: USD per 1,000 requests, and the share; of much more, how many times the cost."""
    saved, share = against["saved_usd_per_1000"]["value"], against["saved"]["value"]
    if saved is None:
        return UNKNOWN
    part = "" if share is None else f" ({share:+.0%})" if share > -1 else f" (x {1 - share:,.1f})"
    return f"{'-' if saved < 0 else '+'}{dollars(abs(saved))}{part}"


def _points(figure: Json) -> str:
    if figure["value"] is None:
        return UNKNOWN
    value, low, high = (100 * figure[end] for end in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
