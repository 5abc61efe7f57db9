"""Areas of several sets, pooled: what each says is known, so what they come to is as well."""

import json
from math import sqrt
from pathlib import Path

import pytest

from app.cli import main
from app.errors import SettingsError
from app.replay.pool import HULL, pool


def report(folder: Path, name: str, value: float, error: float, *, over: str = "llm_at") -> Path:
    area = {"value": value, "error": error, "interval": {"low": 0, "high": 0}}
    policy = {"policy": "value", "aiq_over_mixtures": area, "aiq_over": {over: area}}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"queries": 9, "judge": "recorded", "policies": [policy]}))
    return path


def test_sets_are_pooled_alike_and_by_precision(tmp_path: Path) -> None:
    files = [report(tmp_path, "one", 0.04, 0.01), report(tmp_path, "two", 0.01, 0.005)]

    hull, llm_at = pool(files)

    assert (hull.policy, hull.over, llm_at.over) == ("value", HULL, "llm_at")
    assert llm_at.alike.value == pytest.approx(0.025)
    assert llm_at.alike.error == pytest.approx(sqrt(0.01**2 + 0.005**2) / 2)
    # A quarter of the variance counts four times as much.
    assert llm_at.by_precision.value == pytest.approx((0.04 + 4 * 0.01) / 5)
    assert llm_at.by_precision.error == pytest.approx(1 / sqrt(0.01**-2 + 0.005**-2))
    assert llm_at.alike.interval.low < 0.025 < llm_at.alike.interval.high


def test_what_not_every_report_knows_is_left_out_and_nothing_at_all_is_said(tmp_path: Path) -> None:
    one, two = report(tmp_path, "one", 0.1, 0.1), report(tmp_path, "two", 0.1, 0.1, over="random")
    assert [each.over for each in pool([one, two])] == [HULL]

    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"queries": 9, "judge": "recorded", "policies": []}))
    with pytest.raises(SettingsError, match="--sweep"):
        pool([one, empty])
    with pytest.raises(SettingsError, match="two reports"):
        pool([one])
    with pytest.raises(SettingsError, match=r"pyproject\.toml: is no report"):
        pool([one, Path("pyproject.toml")])


def test_the_command_prints_every_set_and_the_pool_and_takes_no_option_of_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [report(tmp_path, "one", 0.04, 0.01), report(tmp_path, "two", 0.02, 0.01)]
    call = ["replay", "--pool", *map(str, files)]

    assert main(call) == 0
    told = capsys.readouterr().out
    assert "+4.0 [2.0, 6.0]" in told
    assert "+3.0 [1.6, 4.4]" in told

    assert main([*call, "--sweep"]) == 2
    assert "--sweep: is for recordings" in capsys.readouterr().err
