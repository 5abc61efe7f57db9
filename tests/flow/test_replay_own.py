"""A replay of one's own records: an export in, what fixed tiers would have done out."""

import base64
import gzip
import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from app.errors import SettingsError
from app.record_files import Header, encoded, line_of
from app.records import Attempt, Estimate, Record, Start, Verdict
from app.replay.command import add_options, is_own, replay_own
from app.replay.own import build_ladder, evaluate, first_choices, read_export
from app.replay.policies import Choice, build_policy
from tests.support.logged import COSTS_USD, TIERS, World

pytestmark = pytest.mark.anyio

HEADER = Header("static-8").line()


def line(record: Record, degrees: float | None = None) -> bytes:
    """An exported record, its question in this direction."""
    angle = np.radians(degrees or 0.0)
    vector = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    return line_of(record, encoded(None if degrees is None else vector)).strip()


def write(path: Path, lines: Sequence[bytes], header: bytes = HEADER) -> Path:
    path.write_bytes(b"\n".join([header.strip(), *lines]))
    return path


def exported(path: Path, requests: int, world: World | None = None) -> Path:
    made = world or World(1)
    return write(path, [line(made.record()) for _ in range(requests)])


def replay(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "app.cli", "replay", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )


def given(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def test_the_command_shows_every_fixed_tier_beside_what_was_served(tmp_path: Path) -> None:
    path, figures = exported(tmp_path / "mine.jsonl", 1500), tmp_path / "figures.json"

    done = replay(str(path), "--policy", "always:medium", "--json", str(figures))

    assert done.returncode == 0, done.stderr
    for said in ("1,500", "small", "as served", "always:medium, first", "n_eff", "As served: "):
        assert said in done.stdout
    assert "Too little is known" not in done.stdout
    report = json.loads(figures.read_text(encoding="utf-8"))
    fixed = report["logged"]["fixed"]
    assert fixed["small"]["accuracy"]["value"] == pytest.approx(0.7625, abs=0.05)
    assert fixed["large"]["usd_per_1000"]["value"] == pytest.approx(30, rel=0.05)
    (policy,) = report["policies"]
    assert policy["starts"] == {"small": 0.0, "medium": 1.0, "large": 0.0}
    assert policy["standing"]["served"] == fixed["medium"]


def test_too_few_records_are_refused_with_what_it_takes(tmp_path: Path) -> None:
    done = replay(str(exported(tmp_path / "mine.jsonl", 100)))

    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert "unknown" in printed
    assert "Too little is known: the effective sample for " in printed
    assert "and 50 are needed: log about " in printed
    assert "more requests with lessons, or spend more on lessons." in printed


def test_records_without_coins_are_refused(tmp_path: Path) -> None:
    world = World(1)
    records = [world.record() for _ in range(10)]
    for record in records:
        record.lessons = None
    path = write(tmp_path / "mine.jsonl", [line(record) for record in records])

    done = replay(str(path))

    assert done.returncode == 2
    assert "none of the 10 records had coins flipped for lessons" in done.stderr
    assert done.stderr.count("\n") == 1


async def test_a_compressed_export_in_two_files_counts_each_record_once(tmp_path: Path) -> None:
    world = World(1)
    lines = [line(world.record()) for _ in range(30)]
    first = write(tmp_path / "a.jsonl", lines[:20])
    second = write(tmp_path / "b.jsonl", lines[10:])
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(second.read_bytes()))
    arguments = given(str(packed), str(first))

    assert is_own(arguments)
    report = await replay_own(arguments)

    assert (report.records, report.usable, report.tiers) == (30, 30, TIERS)
    times_s = [logged.record.time_s for logged in read_export([packed, first])]
    assert times_s == sorted(times_s)


async def test_only_the_latest_ladder_counts(tmp_path: Path) -> None:
    world = World(1)
    old = [world.record() for _ in range(10)]
    for record in old:
        record.ladder = record.eligible = ("tiny", *TIERS)
    path = write(
        tmp_path / "mine.jsonl", [line(r) for r in (*old, *(world.record() for _ in range(5)))]
    )

    report = await evaluate(read_export([path]), [], 1)

    assert (report.records, report.usable, report.tiers) == (15, 5, TIERS)


async def test_a_policy_chooses_from_the_records_before_it(tmp_path: Path) -> None:
    world, lines = World(1), []
    for number in range(60):
        easy = number % 2 == 0
        small = Attempt("small", "direct", outcome="complete", final_answer="a")
        small.verdicts = [Verdict(valid=easy, by="medium")]
        medium = Attempt("medium", "after_reject", outcome="complete", final_answer="b")
        medium.verdicts = [Verdict(valid=True, by="large")]
        attempts = [small] if easy else [small, medium]
        record = replace(
            world.record(),
            embedder="static-8",
            attempts=attempts,
            served=len(attempts) - 1,
            evidence={},
        )
        lines.append(line(record, 0.0 if easy else 90.0))
    logged = read_export([write(tmp_path / "mine.jsonl", lines)])
    ladder = build_ladder(TIERS, [one.record for one in logged])

    chosen = await first_choices(logged, build_policy(Choice("llm_at"), ladder.tiers), ladder, 1)

    assert set(chosen[:4]) == {"small"}
    assert set(chosen[20::2]) == {"small"}
    assert set(chosen[21::2]) == {"medium"}


def test_the_ladder_is_read_off_the_records() -> None:
    world = World(1)
    records = [world.record() for _ in range(50)]
    last = records[-1]
    last.start = Start("small", {}, {"small": Estimate(0.6, prior=0.55)})

    ladder = build_ladder(TIERS, records)

    assert ladder.names == TIERS
    assert [tier.prior for tier in ladder] == [0.55, 0.5, 0.5]
    assert [tier.model for tier in ladder] == ["model-small", "model-medium", "model-large"]
    for tier in ladder:
        assert tier.price is not None
        per_token_usd = (tier.price.input + tier.price.output) / 1e6
        assert per_token_usd == pytest.approx(COSTS_USD[tier.name] / 1100)


@pytest.mark.parametrize(
    ("lines", "header", "said"),
    [
        ([], HEADER.replace(b":1", b":2"), "mine.jsonl: line 1: version 2"),
        ([b"{"], HEADER, "mine.jsonl: line 2: not a record"),
        ([b"", b'{"record": {"id": 1}, "vector": null}'], HEADER, "line 3: not a record"),
        ([b'{"vector": null}'], HEADER, "line 2: not a record"),
        ([], HEADER, "the export holds no records"),
    ],
)
async def test_a_damaged_export_is_refused_with_its_line(
    tmp_path: Path, lines: list[bytes], header: bytes, said: str
) -> None:
    path = write(tmp_path / "mine.jsonl", lines, header)

    with pytest.raises(SettingsError) as refused:
        await replay_own(given(str(path)))

    assert said in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("vector", ["?", "AAA="])
def test_a_damaged_vector_is_refused(tmp_path: Path, vector: object) -> None:
    record = orjson.loads(World(1).record().to_json())
    path = write(tmp_path / "mine.jsonl", [orjson.dumps({"record": record, "vector": vector})])

    with pytest.raises(SettingsError, match="line 2: its vector is not base64 of float32"):
        read_export([path])


def test_vectors_of_one_embedder_have_one_length(tmp_path: Path) -> None:
    world = World(1)
    longer = orjson.loads(line(world.record()))
    longer["vector"] = base64.b64encode(b"\0" * 12).decode()
    path = write(tmp_path / "mine.jsonl", [line(world.record(), 0.0), orjson.dumps(longer)])

    with pytest.raises(SettingsError, match="line 3: its vector has 3 numbers"):
        read_export([path])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plot", "x.png"], "--plot: is for recordings"),
        (["--tiers", "a,b"], "--tiers: is for recordings"),
        (["--sweep"], "--sweep: is for recordings"),
        (["--policy", "nonsense"], "'nonsense' is unknown"),
        (["--json", "/nowhere/figures.json"], "cannot be written"),
    ],
)
async def test_what_only_recordings_have_is_refused(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    path = exported(tmp_path / "mine.jsonl", 5)

    with pytest.raises(SettingsError, match=said):
        await replay_own(given(str(path), *arguments))


def test_recordings_and_records_are_not_mixed(tmp_path: Path) -> None:
    path, recordings = exported(tmp_path / "mine.jsonl", 5), tmp_path / "answers.jsonl"
    recordings.write_bytes(b'{"id": 1}\n')

    assert not is_own(given(str(recordings)))
    with pytest.raises(SettingsError, match="cannot be replayed together"):
        is_own(given(str(path), str(recordings)))
