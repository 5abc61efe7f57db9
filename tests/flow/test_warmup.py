"""`autoshift warmup` as its users run it: a process, before a scripted provider or the sandbox."""

import asyncio
import gzip
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import yaml

from app.archive import Archive
from app.jsontext import Json
from app.parts import build_parts
from app.records import Record
from app.reporting.sightings import SERVED, quality_of, row_of
from app.sandbox.questions import draw_questions
from app.settings.configuration import build_settings
from app.store.wanted import Stored, Wanted
from tests.support.gateway import configuration, gateway, until
from tests.support.provider import INVALID, Fails, Hangs, Provider, Says, provider

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]  # a process takes seconds to start

ROOT = Path(__file__).parents[2]
TIERS = ("small", "medium", "large")
ANSWER_USD = {"small": 300e-6, "medium": 3000e-6, "large": 30_000e-6}
VERDICTS_USD = 2200e-6 + 22_000e-6


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def told(self) -> Json:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True, slots=True)
class Here:
    """A provider, a store, and how a warm-up between them is configured."""

    provider: Provider
    store: Path
    config: Path
    values: Json

    def prompts(self, *texts: str) -> Path:
        file = self.store.parent / "prompts.jsonl"
        lines = (json.dumps({"prompt": text}) for text in texts)
        file.write_text("\n".join(lines), encoding="utf-8")
        return file

    async def run(self, file: Path, *more: str) -> Ran:
        return await ended(await started(file, "--config", self.config, *more))

    async def rows(self) -> list[Stored]:
        """What the store holds, when nobody else has it."""
        parts = build_parts(build_settings(self.values))
        archive = Archive(recorder=parts.recorder, store=parts.store, outbox=parts.outbox)
        async with (
            parts.working(parts.recorder),
            aclosing(archive.scan(Wanted("local"), vectors=True)) as scanned,
        ):
            return [row async for rows in scanned for row in rows]

    async def records(self) -> list[Record]:
        return [row.record for row in await self.rows() if row.record is not None]


@asynccontextmanager
async def here(path: Path, arbiter: str = "auto") -> AsyncGenerator[Here, None]:
    """A provider and a configuration in which the next tier up judges."""
    async with provider() as scripted:
        judge = {"by": "next", "arbiter": arbiter}
        values = configuration(scripted.url, path / "store", policy="value", judge=judge)
        config = path / "config.yaml"
        config.write_text(yaml.safe_dump(values), encoding="utf-8")
        yield Here(scripted, path / "store", config, values)


async def started(
    *arguments: str | Path, stdin: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "warmup", *map(str, arguments)),
        cwd=ROOT,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Ran:
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


def lesson_of(record: Record) -> Sequence[tuple[str, str]]:
    """The tiers that the record's lessons asked, and how that went."""
    evidence = [e for e in record.evidence.values() if e.source == "lesson"]
    return [(a.tier, a.outcome) for each in evidence for a in each.attempts]


async def test_every_prompt_leaves_the_record_of_a_full_lesson_that_was_certain(
    tmp_path: Path,
) -> None:
    async with here(tmp_path) as at:
        at.provider.answers("model-large", Says("5"))
        ran = await at.run(at.prompts("one", "two", "three", "one"), "--yes", "--json")
        assert ran.status == 0, ran.err
        rows = await at.rows()
        assert len(rows) == 3
        assert all(row.vector is not None for row in rows)
        for row in rows:
            assert row.record is not None
            assert_is_full(row.record)
        comparisons = 2 * (300 * 10 + 9 * 40) * 1e-6
        usd = 3 * (sum(ANSWER_USD.values()) + VERDICTS_USD + comparisons)
        told = ran.told
        assert told["ended"] == "done"
        assert told["spent_usd"] == pytest.approx(usd)
        assert told["unpriced_calls"] == 0
        assert told["estimate_usd"]["low"] < told["estimate_usd"]["expected"]
        assert told["prompts"] == {
            "lines": 4,
            "distinct": 3,
            "left_out": {},
            "already": 0,
            "asked": 3,
            "answered": 3,
        }
        assert told["arbiter"] == {"as good": 3}
        tiers = told["tiers"]
        assert [tiers[tier]["answers"] for tier in TIERS] == [3, 3, 3]
        for tier, usd in ANSWER_USD.items():
            assert tiers[tier]["usd_per_1000"] == pytest.approx(1000 * usd)
        # Every answer was judged valid, though the top tier came to something else.
        assert [
            tiers[tier]["agreement"] and tiers[tier]["agreement"]["value"] for tier in TIERS
        ] == [
            0,
            0,
            None,
        ]


def assert_is_full(record: Record) -> None:
    assert (record.policy, record.kind, record.outcome) == ("warmup", "routed", "answered")
    assert record.lessons is not None
    assert record.lessons.drawn == ("full",)
    assert record.lessons.propensities["full"] == 1.0
    assert record.lessons.certain
    assert [attempt.tier for attempt in record.attempts] == ["small"]
    assert lesson_of(record) == [("medium", "complete"), ("large", "complete")]
    sources = {evidence.source: evidence for evidence in record.evidence.values()}
    assert set(sources) == {"lesson", "arbiter"}
    assert sources["lesson"].verdicts["small"].by == "medium"
    medium, large = sources["lesson"].attempts
    assert [verdict.by for verdict in medium.verdicts] == ["large"]
    assert large.verdicts == []
    assert set(quality_of(record)) == set(TIERS)
    row = row_of(record, {})
    assert row is not None
    for kind in ("accuracy", "tied", "usd"):
        for name in (*TIERS, SERVED):
            sighting = row.figures[kind][name]
            assert (sighting.chance, sighting.seen is None) == (1.0, False)
    assert row.figures["usd"]["large"].seen == pytest.approx(ANSWER_USD["large"])


async def test_a_gateway_on_that_store_starts_from_it_and_no_client_can_ask_for_more(
    tmp_path: Path,
) -> None:
    async with here(tmp_path) as at:
        ran = await at.run(at.prompts("What is 1 + 2?", "What is 3 + 2?"), "--yes")
        assert ran.status == 0, ran.err
        assert "Next: `autoshift serve --config" in ran.out
        async with gateway(at.store, at.provider) as gate:
            told = await gate.decision_of(await gate.ask("What is 1 + 2?"))
            assert told["start"]["neighbours"] == 2
            refused = await gate.ask(model="auto:warmup")
            assert refused.status_code == 404
            assert "auto:warmup" not in (await gate.http.get("/v1/models")).text


async def test_without_a_terminal_and_without_a_yes_nothing_is_spent(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        ran = await at.run(at.prompts("one", "two"))
        assert ran.status == 2
        assert ran.err == (
            "autoshift: nobody is there to confirm the price; say --yes to spend it unasked\n"
        )
        assert "What it would cost: 2 prompts" in ran.out
        assert at.provider.calls == []
        assert await at.records() == []


@pytest.mark.parametrize(("said", "status", "asked"), [("n", 1, 0), ("", 1, 0), ("y", 0, 3)])
async def test_at_a_terminal_the_price_is_to_be_confirmed(
    tmp_path: Path, said: str, status: int, asked: int
) -> None:
    ours, theirs = pty.openpty()
    async with here(tmp_path) as at:
        process = await started(at.prompts("one"), "--config", at.config, stdin=theirs)
        os.close(theirs)
        assert process.stderr is not None
        question = await process.stderr.readuntil(b"[y/N] ")
        assert b"Ask all this" in question
        assert at.provider.calls == []
        os.write(ours, f"{said}\n".encode())
        ran = await ended(process)
        os.close(ours)
        assert ran.status == status
        assert len(at.provider.asked()) == asked


async def test_ctrl_c_at_that_question_is_a_no(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    async with here(tmp_path) as at:
        process = await started(at.prompts("one"), "--config", at.config, stdin=theirs)
        assert process.stderr is not None
        await process.stderr.readuntil(b"[y/N] ")
        process.send_signal(signal.SIGINT)
        ran = await ended(process)
        assert (ran.status, ran.err) == (130, "")
        assert at.provider.calls == []
    for end in (ours, theirs):
        os.close(end)


async def test_ctrl_c_stops_the_spending_says_what_was_done_and_the_rest_can_follow(
    tmp_path: Path,
) -> None:
    async with here(tmp_path) as at:
        at.provider.answers("model-large", Says(), Says(), Hangs())
        file = at.prompts("one", "two", "three", "four")
        options = ("--config", at.config, "--yes", "--json", "--at-once", "1")
        process = await started(file, *options)
        await until(lambda: at.provider.asked().count("model-large") == 3, within_s=30)
        process.send_signal(signal.SIGINT)
        ran = await ended(process)
        assert ran.status == 130, ran.err
        assert "Stopped: nothing more is spent." in ran.err
        assert ran.told["ended"] == "interrupted"
        assert (ran.told["prompts"]["asked"], ran.told["unpriced_calls"]) == (3, 1)
        await until(lambda: at.provider.open == 0)
        assert len(at.provider.asked()) == 9
        assert sorted(lesson_of(record)[-1] for record in await at.records()) == [
            ("large", "cancelled"),
            ("large", "complete"),
            ("large", "complete"),
        ]
        at.provider.answers("model-large", Says())
        again = await at.run(file, "--yes", "--json")
        assert again.status == 0, again.err
        assert (again.told["prompts"]["already"], again.told["prompts"]["asked"]) == (2, 2)
        assert len(at.provider.asked()) == 9 + 6
        done = await at.run(file, "--json")
        assert (done.status, done.told["prompts"]["already"]) == (0, 4)
        assert done.told["tiers"]["large"]["answers"] == 4
        assert len(at.provider.asked()) == 9 + 6


async def test_a_tier_that_fails_is_counted_and_nothing_ends(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        at.provider.answers("model-medium", Fails())
        at.provider.verdicts("model-medium", Says("hm"))
        ran = await at.run(at.prompts("one", "two"), "--yes", "--json")
        assert ran.status == 0, ran.err
        medium = ran.told["tiers"]["medium"]
        assert (medium["answers"], medium["failed"], medium["accuracy"]) == (0, 2, None)
        assert ran.told["errors"] == {"medium: upstream_failed": 2}
        assert ran.told["tiers"]["small"]["no_verdict"] == 2
        assert "Failed 2 times: medium: upstream_failed" in ran.err
        # What is missing is not asked for ever: only by who runs it again.
        assert ran.told["prompts"]["answered"] == 2


async def test_where_the_lowest_tier_is_down_the_next_one_is_served(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        at.provider.answers("model-small", Fails())
        ran = await at.run(at.prompts("one"), "--yes", "--json")
        assert ran.status == 0, ran.err
        (record,) = await at.records()
        assert [attempt.tier for attempt in record.attempts] == ["small", "medium"]
        assert lesson_of(record) == [("small", "failed"), ("large", "complete")]
        row = row_of(record, {})
        assert row is not None
        assert row.figures["accuracy"]["small"].seen is None
        assert {sighting.chance for sighting in row.figures["accuracy"].values()} == {1.0}


async def test_where_nobody_answers_it_fails(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        for tier in TIERS:
            at.provider.answers(f"model-{tier}", Fails(401))
        ran = await at.run(at.prompts("one"), "--yes", "--json")
        assert ran.status == 1
        assert (ran.told["prompts"]["answered"], ran.told["spent_usd"]) == (0, 0.0)
        assert ran.told["errors"]["large: upstream_auth"] == 1


async def test_more_than_the_highest_estimate_is_not_spent(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        at.provider.answers("model-large", Says(usage=(100, 100_000)))
        file = at.prompts(*(f"question {number}" for number in range(9)))
        ran = await at.run(file, "--yes", "--json", "--at-once", "1", "--output-tokens", "50")
        assert ran.status == 1
        assert ran.told["ended"] == "too dear"
        assert ran.told["prompts"]["asked"] == 1
        assert ran.told["spent_usd"] > ran.told["estimate_usd"]["high"]
        assert "The same command goes on" in " ".join(ran.err.split())


async def test_a_price_that_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        del at.values["tiers"][1]["price"]
        at.config.write_text(yaml.safe_dump(at.values), encoding="utf-8")
        ran = await at.run(at.prompts("one"), "--yes")
        assert ran.status == 0, ran.err
        assert "The price of medium is unknown" in ran.out
        assert "at least" in ran.out
        # Its answer, its verdict on the lowest tier's.
        assert "2 calls at an unknown cost" in ran.out


async def test_what_cannot_be_written_down_is_not_paid_for(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        at.values["store"]["outbox_bytes"] = 4096
        at.config.write_text(yaml.safe_dump(at.values), encoding="utf-8")
        file = at.prompts(*(f"question {number}" for number in range(9)))
        ran = await at.run(file, "--yes", "--json", "--at-once", "1")
        assert ran.status == 1
        assert ran.told["ended"] == "not kept"
        assert ran.told["prompts"]["asked"] < 9
        assert "could not be written down" in ran.err


async def test_a_store_that_a_gateway_is_running_on_is_told_in_one_line(tmp_path: Path) -> None:
    async with here(tmp_path) as at, gateway(at.store, at.provider):
        ran = await at.run(at.prompts("one"), "--yes")
        assert ran.status == 2
        (line,) = ran.err.splitlines()
        assert "in use by another process: stop it" in line
        assert "Qdrant server" in line
        assert at.provider.calls == []


async def test_a_file_that_is_wrong_is_told_in_one_line(tmp_path: Path) -> None:
    async with here(tmp_path) as at:
        file = at.prompts("one")
        file.write_text('{"prompt": "one"}\n{"prompt": \n', encoding="utf-8")
        ran = await at.run(file, "--yes")
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith(f"autoshift: {file}: line 2:")
        assert len(ran.err.splitlines()) == 1


async def test_a_judge_that_refuses_is_held_against_the_better_tier(tmp_path: Path) -> None:
    async with here(tmp_path, arbiter="none") as at:
        at.provider.verdicts("model-medium", INVALID)
        ran = await at.run(at.prompts("one", "two"), "--yes", "--json")
        assert ran.status == 0, ran.err
        # All three came to the same.
        tiers = ran.told["tiers"]
        assert tiers["small"]["agreement"] == {"value": 0.0, "count": 2, "low": 0.0, "high": 0.0}
        assert tiers["medium"]["agreement"]["value"] == 1.0
        assert ran.told["arbiter"] == {}
        assert not [call for call in at.provider.calls if call.comparing]


async def test_the_sandbox_is_warmed_up_without_a_key(tmp_path: Path) -> None:
    file, config = tmp_path / "prompts.jsonl.gz", tmp_path / "sandbox.yaml"
    lines = [{"body": question.body("auto")} for question in draw_questions(30, seed=5)]
    file.write_bytes(gzip.compress(b"\n".join(map(orjson.dumps, lines))))
    values = yaml.safe_load((ROOT / "config" / "sandbox.yaml").read_text("utf-8"))
    values["store"] = {"path": str(tmp_path / "store")}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    options = ("--sandbox", "--config", config, "--questions", "12", "--yes")
    ran = await ended(await started(file, *options, "--json"))
    assert ran.status == 0, ran.err
    assert "(simulated)" in ran.err
    told = ran.told
    assert (told["prompts"]["lines"], told["prompts"]["answered"]) == (30, 12)
    assert told["prompts"]["left_out"].keys() == {"tools are not called just to learn"}
    assert 0 < told["estimate_usd"]["low"] < told["spent_usd"] < told["estimate_usd"]["high"]
    assert told["tiers"]["large"]["accuracy"]["value"] > told["tiers"]["small"]["accuracy"]["value"]
