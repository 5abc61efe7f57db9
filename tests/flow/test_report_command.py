"""`autoshift report` as its users run it: a process, beside a running gateway or on its store."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.support.command import Ran, autoshift
from tests.support.gateway import configuration, gateway, until
from tests.support.logged import World, kept

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:1/v1"


async def run(*arguments: str | Path) -> Ran:
    return await autoshift("report", *arguments, columns=120)


def config(store: Path) -> Path:
    path = store.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(configuration(NOWHERE, store)), encoding="utf-8")
    return path


async def test_it_tells_of_a_stopped_gateway_what_it_will_tell_when_it_runs(tmp_path: Path) -> None:
    store = tmp_path / "store"
    world = World(1, start="medium", judge_sees=0.9, decided=True)
    await kept(store, [world.record() for _ in range(1200)])
    stopped = await run("--config", config(store), "--json")
    assert (stopped.status, stopped.err) == (0, "")
    told = json.loads(stopped.out)
    assert told["state"] == "pays"
    async with gateway(store) as gate:

        async def is_restored() -> bool:
            requests = (await gate.http.get("/v1/report")).json()["requests"]
            return bool(requests >= told["requests"] - 0.01)

        await until(is_restored, 30)
        running = await run("--url", f"{gate.url}/v1/", "--json")
        locked = await run("--config", config(store))
        beside = await run("--url", gate.url, "--since", "52w", "--baseline", "small", "--json")
    assert json.loads(running.out) == told
    # The records are from 2023.
    assert json.loads(beside.out)["counts"]["all"] == 0
    assert json.loads(beside.out)["since_s"] > 1_700_000_000
    assert locked.status == 2
    assert "--url" in locked.err


async def test_a_person_reads_a_table_a_sentence_and_the_alarms(tmp_path: Path) -> None:
    store = tmp_path / "store"
    world = World(1, start="medium", judge_sees=0.0)
    await kept(store, [world.record() for _ in range(1200)])
    ran = await run("--config", config(store))
    assert (ran.status, ran.err) == (0, "")
    for name in ("routing", "always small", "always medium", "always large", "95 % interval"):
        assert name in ran.out
    assert "- Against large alone, routing saved $" in ran.out
    for name in ("audits beside another tier 100%", "All 1,200 requests"):
        assert name in ran.out
    assert "- No difference is sure: " in ran.out
    assert "answer " in ran.out
    assert "lesson " in ran.out
    assert "- ALARM since 2023-11-14 " in ran.out
    assert "large has accepted " in ran.out


async def test_without_records_it_says_so(tmp_path: Path) -> None:
    ran = await run("--config", config(tmp_path / "store"))
    assert ran.status == 0
    wrong = await run("--config", config(tmp_path / "store"), "--since", "last week")
    assert wrong.status == 2
    assert "--since must be Unix time" in wrong.err
    assert ran.out == "- Nothing to compare yet: no request was routed.\n"


async def test_what_answers_and_is_no_gateway_is_named(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        wrong = await run("--url", f"{gate.provider.url}/models")
    assert wrong.status == 2
    assert "autoshift: http://127.0.0.1:" in wrong.err


async def test_as_a_page_it_needs_nothing_but_itself(tmp_path: Path) -> None:
    store = tmp_path / "store"
    world = World(1, start="medium", judge_sees=0.9, decided=True)
    tasks = ("<script>alert(1)</script>", "letters")
    await kept(store, [replace(world.record(), task=tasks[at % 2]) for at in range(1200)])
    ran = await run("--config", config(store), "--html")
    assert (ran.status, ran.err) == (0, "")
    page = ran.out
    assert page.startswith("<!doctype html>")
    # No script, and nothing from elsewhere: not a font, not a picture.
    assert not re.search(r"<script|<link|src=|https?:|@import|url\(", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for told in (
        "Routing pays: +",
        "Against large alone, routing saved $",
        "By task, beside large",
    ):
        assert told in page
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    picture = ElementTree.fromstring(svg)  # noqa: S314 - our own
    texts = " ".join("".join(text.itertext()) for text in picture.iter("text"))
    for name in ("small", "medium", "large", "routing"):
        assert f"{name} " in texts
    both = await run("--html", "--json")
    assert both.status == 2
