"""`autoshift explain`: what would be done with a question, or was done with one, as tables."""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from app.archive import Archive
from app.commands.remote import add_remote, remote, whose
from app.errors import NotFoundError, SettingsError, StoreLockedError
from app.events import Order
from app.explanation import OBJECT, Explainer, story
from app.jsontext import Json, dump_json
from app.parts import Parts, build_parts, new_id
from app.restart import Restart
from app.settings import Settings
from app.settings.configuration import load_settings
from app.wire import parse_request

UNKNOWN = "?"
NEIGHBOURS_SHOWN = 10
LONGEST = 60


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift explain`."""
    parser.add_argument("question", nargs="?", help="as a client would ask it")
    parser.add_argument("--decision", metavar="ID", help="tell what was done, instead")
    parser.add_argument("--model", default="auto", help="default: auto; auto:llm_at, a tier, …")
    for dial in ("quality-per-dollar", "usd-per-1000", "keep-quality"):
        parser.add_argument(f"--{dial}", type=float, metavar="N", help="as if the dial stood there")
    add_remote(parser)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="whose gateway to ask, or whose store to read while none runs; "
        "default: $AUTOSHIFT_CONFIG",
    )
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


async def run(given: argparse.Namespace) -> int:
    """Tell it; the exit status. Errors: SettingsError, StoreError, OutboxError, RequestError."""
    if (given.question is None) == (given.decision is None):
        raise SettingsError('give a question, or --decision ID: autoshift explain "What is 2 + 2?"')
    told = await _told(given)
    if given.json:
        print(orjson.dumps(told).decode(), flush=True)  # noqa: T201
    else:
        show(told, Console(markup=False, highlight=False))
    return 0


async def _told(given: argparse.Namespace) -> Json:
    if given.url is not None:
        return await _remote(given, given.url)
    settings = load_settings(given.config)
    try:
        return await _offline(given, settings)
    except StoreLockedError:
        # Whoever has the store is most likely the gateway of this configuration.
        server = settings.server
        return await _remote(given, f"http://{server.host}:{server.port}")


async def _remote(given: argparse.Namespace, url: str) -> Json:
    gateway = remote(given, url)
    if given.decision is not None:
        return await gateway.decision(given.decision)
    return await gateway.explain(_body(given))


async def _offline(given: argparse.Namespace, settings: Settings) -> Json:
    """What a gateway would tell that starts now."""
    parts = build_parts(settings)
    async with parts.working():
        if given.decision is not None:
            record = await parts.recorder.get(given.decision, tenant=whose(given))
            if record is None:
                raise NotFoundError(f"there is no decision {given.decision[:64]!r}")
            return story(record)
        archive = Archive(recorder=parts.recorder, store=parts.store, outbox=parts.outbox)
        restart = Restart(archive=archive, audience=parts.audience, tenants=(whose(given),))
        async with asyncio.timeout(60):
            await restart.run()
        explainer = Explainer(
            transmission=parts.transmission,
            catalogue=parts.catalogue,
            ladder=parts.ladder,
            clock=parts.clock,
        )
        return await explainer.explain(_order(given, parts))


def _order(given: argparse.Namespace, parts: Parts) -> Order:
    request = parse_request(dump_json(_body(given)), {})
    route = parts.catalogue.route(request)
    return Order(
        id=new_id(),
        tenant=whose(given),
        request=request,
        policy=route.policy,
        ladder=route.ladder,
        kind=route.kind,
        mode=parts.settings.stream.mode,
        deadline_s=parts.settings.server.deadline_s,
    )


def _body(given: argparse.Namespace) -> Json:
    names = ("quality_per_dollar", "usd_per_1000", "keep_quality")
    dials = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    return {
        "model": given.model,
        "messages": [{"role": "user", "content": given.question}],
        **({"autoshift": dials} if dials else {}),
    }


def show(told: Json, console: Console) -> None:
    """The explanation, or the decision, for a person."""
    tables = _explained(told) if told["object"] == OBJECT else _decided(told)
    for table in tables:
        console.print(table)


def _explained(told: Json) -> Iterator[Table | str]:
    simulated = " (simulated)" if told.get("simulated") else ""
    yield f"What is believed{simulated}"
    tiers = _table(
        "tier",
        *("right", "95 % interval", "labels near", "$ to ask", "$ to judge", "judged by"),
    )
    for tier in told["tiers"]:
        known = tier["accuracy"] is not None
        tiers.add_row(
            tier["tier"],
            _share(tier["accuracy"]),
            f"{_share(tier['low'])} to {_share(tier['high'])}" if known else "",
            f"{tier['effective_n']:.1f}" if known else "",
            _usd(tier["ask_usd"]),
            _usd(tier["judge_usd"]),
            tier["judged_by"] or "nobody",
        )
    for out in told["ruled_out"]:
        tiers.add_row(out["tier"], "", f"out: {out['why']}", "", "", "", "")
    yield tiers
    if told["actions"]:
        yield "What could be done first"
        actions = _table("step", "value", "$ in the end")
        for action in told["actions"]:
            step = f"{action['do']} {action['tier']}"
            actions.add_row(step, f"{action['value']:.4f}", _usd(action["expected_usd"]))
        yield actions
    if told["neighbours"]:
        yield f"Most similar requests, of {len(told['neighbours'])} that were looked at"
        yield _neighbours(told["neighbours"][:NEIGHBOURS_SHOWN])
    yield told["sentence"]


def _neighbours(neighbours: list[Json]) -> Table:
    table = _table(
        "decision",
        *("similarity", "age", "served by", "$", "labels", "text"),
    )
    for near in neighbours:
        labels = ", ".join(f"{tier} {right:.2f}" for tier, right in near["labels"].items())
        table.add_row(
            near["decision"],
            f"{near['similarity']:.3f}",
            _age(near["age_s"]),
            near["served_tier"] or "nobody",
            _usd(near["cost_usd"]),
            labels or "none",
            (near["text"] or "not kept")[:LONGEST],
        )
    return table


def _decided(told: Json) -> Iterator[Table | str]:
    served = f"served by {told['served_tier']}" if told["served_tier"] else told["outcome"]
    yield f"Decision {told['id']}: {served}"
    attempts = _table("attempt", "came to", "verdicts", "$", "seconds")
    lessons = [e for e in told["evidence"].values() if e["source"] == "lesson"]
    for attempt in (*told["attempts"], *(a for e in lessons for a in e["attempts"])):
        attempts.add_row(
            f"{attempt['tier']} ({attempt['arrived']})",
            attempt["error"] or attempt["outcome"],
            ", ".join(map(_verdict, attempt["verdicts"])) or "none",
            _usd(attempt["cost_usd"]),
            f"{attempt['latency_s']:.2f}",
        )
    yield attempts
    estimates = (told["start"] or {}).get("estimates", {})
    if estimates:
        believed = ", ".join(f"{tier} {each['accuracy']:.2f}" for tier, each in estimates.items())
        yield f"Believed at the start: {believed}."
    for evidence in told["evidence"].values():
        if evidence["source"] != "lesson":
            word = {True: "right", False: "wrong", None: "open"}[evidence["valid"]]
            yield f"Later, {evidence['source']} by {evidence['by']}: {word}."
    costs = ", ".join(f"{what} {_usd(usd)}" for what, usd in told["costs_usd"].items())
    yield f"$ {_usd(told['cost_usd'])} in all: {costs}. It took {told['latency_s']:.2f} s."
    if told["degraded"]:
        yield f"Degraded: {', '.join(told['degraded'])}."


def _verdict(verdict: Json) -> str:
    word = {True: "valid", False: "invalid", None: "no verdict"}[verdict["valid"]]
    return f"{word} by {verdict['by']}"


def _table(first: str, *more: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in more:
        table.add_column(name)
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _usd(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


def _age(age_s: float) -> str:
    for unit, seconds in (("d", 86_400), ("h", 3600), ("min", 60)):
        if age_s >= seconds:
            return f"{age_s / seconds:.0f} {unit}"
    return f"{age_s:.0f} s"
