"""The table of metrics in README is what `/metrics` has, and promtool has no fault to find."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.records import Record
from tests.support.gateway import gateway, metric, until
from tests.support.logged import World, kept
from tests.support.provider import INVALID, Fails, Says

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[2] / "README.md"
FITS_NO_SCRIPT = {
    "autoshift_sheds_total",
    "autoshift_limited_total",
    "autoshift_upstream_failovers_total",
    "autoshift_upstream_retries_total",
    "autoshift_unknown_costs_total",
    "autoshift_quality_kept",
    "autoshift_quality_audits",
    "autoshift_rate_factor",
    "autoshift_advised_total",
}
"""Named and typed like the others; what would give them a sample is tested where it happens."""


def documented() -> Iterator[tuple[str, str, set[str]]]:
    """Name, type and labels of every row."""
    for row in re.findall(r"^\| (`autoshift_.+) \|$", README.read_text("utf-8"), re.MULTILINE):
        names, kind, labels, meaning = (cell.strip() for cell in row.split("|"))
        assert meaning
        for name in re.findall(r"`(\w+)`", names):
            yield name, kind, {label for label in labels.split(", ") if label}


def exposed_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _free_lessons(record: Record) -> Record:
    """The record, with lessons that cost nothing: so that there is a budget left for more."""
    free = {name: replace(each, cost_usd=0.0) for name, each in record.evidence.items()}
    return replace(record, evidence=free)


async def test_what_is_documented_is_what_is_exposed(tmp_path: Path) -> None:
    world = World(3, start="small", decided=True, coins={"small": 0.5, "large": 0.9, "full": 0.7})
    await kept(tmp_path, [_free_lessons(world.record()) for _ in range(350)])
    value = {"keep_quality": 0.9, "lessons": 0.5}
    async with gateway(tmp_path, policy="value", value=value) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        for number in range(8):
            await gate.ask(f"What is {number} + 1?", stream=number % 2 == 0, model="auto:cascade")
            await gate.ask(f"What is {number} + 2?")
            await gate.ask(model="auto:llm_at", autoshift={"learn": True})
        gate.provider.answers("model-small", Fails(503), Says("ok"))
        await gate.ask(model="small")

        async def is_known() -> bool:
            await gate.ask("Teach me")
            text = (await gate.http.get("/metrics")).text
            names = ("brier_score", "judge_accepts_right", "judge_accepts_wrong", "lessons_total")
            return all(f"autoshift_{name}{{" in text for name in names)

        await until(is_known, 20)
        text = (await gate.http.get("/metrics")).text

    rows = {name: (kind, labels) for name, kind, labels in documented()}
    families = {
        exposed_name(family): family
        for family in text_string_to_metric_families(text)
        if not family.name.startswith("process_")
    }
    assert sorted(rows) == sorted(families)
    for name, (kind, labels) in rows.items():
        assert (name, families[name].type) == (name, kind)
        found = [set(sample.labels) - {"le", "quantile"} for sample in families[name].samples]
        if name not in FITS_NO_SCRIPT:
            assert found, f"{name} has no sample"
        assert all(each == labels for each in found), name
    assert "model-" not in re.sub(r'upstream="scripted/model-\w+"', "", text)
    assert metric(text, "autoshift_quality_target") == 0.9
    saved = metric(text, "autoshift_saved_usd_per_1000", tier="large")
    costs = {
        name: metric(text, f"autoshift_{name}_usd_per_1000", tier="large")
        if name == "fixed"
        else metric(text, f"autoshift_{name}_usd_per_1000")
        for name in ("fixed", "served")
    }
    assert saved == pytest.approx(costs["fixed"] - costs["served"])
    check(text)


def check(text: str) -> None:
    """By Prometheus' own tool, where this machine has it."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: apt-get install prometheus")
    ran = subprocess.run(  # noqa: S603 - Debian's own program
        [promtool, "check", "metrics"],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
