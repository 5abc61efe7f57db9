"""Rules of this code base that no linter knows."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from app.errors import GatewayError
from app.settings import Settings

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "app").rglob("*.py"))
PINS = ROOT / "deploy" / "requirements.txt"
IMAGE_PINS = ROOT / "deploy" / "requirements-image.txt"

LINES_MAX = 300
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
# Written so that this file does not itself name a registry's host.
REGISTRY = re.compile(r"p[y]pi\.(org|io)|python[h]osted", re.IGNORECASE)
OWN_FILES = ("app", "tests", "config", "deploy", ".ci")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def committed_files() -> Iterator[Path]:
    """The text files of the project, found without git."""
    skipped = {"__pycache__", ".venv", "data"}
    for folder in OWN_FILES:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not skipped & set(path.parts):
                yield path
    yield from (path for path in ROOT.iterdir() if path.is_file() and ".coverage" not in path.name)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_says_in_one_sentence_what_it_owns(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    if not source and module.name == "__init__.py":
        return

    docstring = ast.get_docstring(ast.parse(source))

    assert docstring, "the module has no docstring"
    sentence = " ".join(docstring.split("\n\n")[0].split())
    assert sentence.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", sentence), "its first paragraph is more than one sentence"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_is_short_enough_to_have_one_owner(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_is_named_for_what_it_owns(module: Path) -> None:
    assert not SAYS_NOTHING & set(module.relative_to(ROOT).with_suffix("").parts)


def test_a_todo_names_its_issue() -> None:
    loose = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))")

    assert [name_of(m) for m in MODULES if loose.search(m.read_text(encoding="utf-8"))] == []


def leaves(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    below = error.__subclasses__()
    if not below:
        yield error
    for child in below:
        yield from leaves(child)


def test_every_error_has_its_status_in_the_one_table() -> None:
    from app.api.render import STATUS  # noqa: PLC0415 - the other rules hold without it

    assert [error.__name__ for error in leaves(GatewayError) if error not in STATUS] == []
    assert all(400 <= status <= 599 for status, _ in STATUS.values())


def test_every_error_has_a_code_of_its_own_words() -> None:
    assert [error.__name__ for error in leaves(GatewayError) if not error.code] == []


def keys(model: type[BaseModel]) -> Iterator[str]:
    """The names of all settings under this section."""
    for name, field in model.model_fields.items():
        yield name
        for option in get_args(field.annotation) or (field.annotation,):
            if isinstance(option, type) and issubclass(option, BaseModel):
                yield from keys(option)


def test_every_setting_is_shown_in_the_example() -> None:
    example = (ROOT / "config" / "autoshift.example.yaml").read_text(encoding="utf-8")
    wanted = set(keys(Settings))

    assert {"port", "prior", "base_url", "threshold", "first_byte_s"} <= wanted
    assert sorted(key for key in wanted if not re.search(rf"\b{key}:", example)) == []


def pinned(file: Path) -> dict[str, set[str]]:
    """The pins of this file: name to versions, of which a marker may choose."""
    versions: dict[str, set[str]] = {}
    pins = re.finditer(r"^([A-Za-z0-9._-]+)==([^\s;]+)", file.read_text("utf-8"), re.MULTILINE)
    for name, version in (pin.groups() for pin in pins):
        versions.setdefault(name.lower(), set()).add(version)
    return versions


def test_every_direct_dependency_is_pinned_with_its_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    direct = [*project["project"]["dependencies"], *groups["dev"], *groups["build"]]
    names = {re.split(r"[<>=!~ ;\[]", requirement)[0].lower() for requirement in direct}

    assert sorted(names - set(pinned(PINS))) == []
    entries = re.split(r"\n(?=\S)", PINS.read_text(encoding="utf-8"))
    assert [entry[:40] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_image_has_what_was_tested_and_no_tools() -> None:
    tested, image = pinned(PINS), pinned(IMAGE_PINS)

    assert all(versions <= tested[name] for name, versions in image.items())
    assert not {"pytest", "mypy", "ruff", "openai"} & set(image)


def test_no_file_names_a_package_registry() -> None:
    files = list(committed_files())

    assert {PINS, ROOT / "pyproject.toml"} <= set(files)
    assert [name_of(f) for f in files if REGISTRY.search(f.read_text("utf-8", "replace"))] == []


@pytest.mark.parametrize("pins", [PINS, IMAGE_PINS], ids=name_of)
def test_pins_hold_no_url(pins: Path) -> None:
    assert not re.search(r"://|--(?!hash)", pins.read_text(encoding="utf-8"))


def test_ci_runs_the_check_that_people_run() -> None:
    script = ROOT / ".ci" / "run"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    check = makefile.partition("\ntest:")[2].partition("\n\n")[0]

    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text(encoding="utf-8")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\$\(BIN\)/(.+)", check) == [
        "ruff format --check .",
        "ruff check .",
        "mypy",
        "lint-imports",
        "python -m pytest $(SPREAD)",
    ]
