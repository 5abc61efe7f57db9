"""The long tests are found, described and refused by name; what they show is theirs to say."""

import ast
from pathlib import Path

import pytest

from tests.long.__main__ import FOLDER, main, parts_found

PARTS = parts_found()


def test_the_runner_itself_is_no_part() -> None:
    assert not [name for name in PARTS if name.startswith("_")]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_says_in_one_sentence_what_it_shows_and_can_be_run(part: str) -> None:
    module = ast.parse((FOLDER / f"{part}.py").read_text("utf-8"))
    runs = [f for f in module.body if isinstance(f, ast.FunctionDef) and f.name == "run"]

    assert PARTS[part].endswith(".")
    assert [[argument.arg for argument in run.args.kwonlyargs] for run in runs] == [["scale"]]


@pytest.mark.parametrize("wrong", [["no_such_part"], ["--scale", "0"]])
def test_a_wrong_call_is_refused_before_anything_runs(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(wrong)
    assert refused.value.code == 2


def test_a_list_runs_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--list", "--json", str(tmp_path / "figures.json")]) == 0
    assert "what it shows" in capsys.readouterr().out
    assert not (tmp_path / "figures.json").exists()
