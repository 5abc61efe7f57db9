"""`autoshift init` writes a configuration that loads, and never a key."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.init.presets import BY_NAME, PRESETS
from app.prices import doubts, price_of
from app.settings import Settings
from app.settings.configuration import load_settings
from app.tiers import Tier

PLACES = {"azure": ("--resource", "ours"), "other": ("--base-url", "https://llm.example.com/v1")}
OWN_PRICES = {"ollama", "vllm", "litellm", "other"}


def written(directory: Path, *arguments: str) -> Settings:
    file = directory / "autoshift.yaml"
    assert main(["init", "--yes", "--output", str(file), "--force", *arguments]) == 0
    return load_settings(file)


def priced(tier: Tier, settings: Settings) -> Tier:
    base_url = settings.providers[tier.provider].base_url
    return tier.model_copy(update={"price": tier.price or price_of(tier.model, base_url)})


@pytest.mark.parametrize("name", BY_NAME)
def test_every_suggestion_loads_and_its_prices_are_known_and_rise(
    name: str, tmp_path: Path
) -> None:
    settings = written(tmp_path, "--provider", name, *PLACES.get(name, ()))
    tiers = [priced(tier, settings) for tier in settings.tiers]

    assert settings.policy == "value"
    assert [tier.name for tier in tiers] == [rung.name for rung in BY_NAME[name].rungs]
    if name != "other":
        assert list(doubts(tiers)) == []
    if name not in OWN_PRICES:
        assert all(tier.price is None for tier in settings.tiers), "list prices are looked up"


def test_azure_gets_its_resource_and_its_header(tmp_path: Path) -> None:
    azure = written(tmp_path, "--provider", "azure", "--resource", "ours").providers["azure"]

    assert azure.base_url == "https://ours.openai.azure.com/openai/v1"
    assert azure.auth == "api-key"
    assert azure.api_key_env == "AZURE_OPENAI_API_KEY"


def test_ones_own_tiers_and_variable_are_taken(tmp_path: Path) -> None:
    settings = written(
        tmp_path,
        *("--provider", "ollama", "--base-url", "http://gpu:11434/v1", "--key-env", "GPU_KEY"),
        *("--tier", "quick=qwen3:4b", "--tier", "large=yes", "--tier", "best=a: b"),
    )

    assert [tier.model for tier in settings.tiers] == ["qwen3:4b", "yes", "a: b"]
    assert [tier.prior for tier in settings.tiers] == [0.6, 0.75, 0.9]
    assert settings.providers["ollama"].base_url == "http://gpu:11434/v1"
    assert settings.providers["ollama"].api_key_env == "GPU_KEY"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--provider: say which: openai"),
        (["--provider", "azure"], "--resource"),
        (["--provider", "azure", "--resource", "a/b"], "no resource's name"),
        (["--provider", "other"], "--base-url: say where"),
        (["--provider", "openai", "--key-env", "sk-123"], "if it is the key itself"),
        (["--provider", "openai", "--tier", "a=b"], "two tiers or more"),
        (["--provider", "openai", "--tier", "a=b", "--tier", "a=c"], "'a' is used twice"),
        (["--provider", "other", "--base-url", "ftp://x"], "providers.other.base_url"),
    ],
)
def test_what_is_missing_or_wrong_is_told_and_nothing_is_written(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "autoshift.yaml"

    assert main(["init", "--yes", "--output", str(file), *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not file.exists()


def test_a_file_that_is_there_stays_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    arguments = ["init", "--provider", "openai", "--yes", "--output", str(file)]

    assert main(arguments) == 2
    assert "say --force" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert main([*arguments, "--force"]) == 0
    assert load_settings(file).providers.keys() == {"openai"}


def test_it_ends_with_the_commands_that_come_next_and_never_writes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    arguments = ["init", "--provider", "openai", "--yes", "--force", "--output", str(file)]
    commands = [f"autoshift check --config {file}", f"autoshift serve --config {file}"]

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    main(arguments)
    unset = [line.strip() for line in capsys.readouterr().err.splitlines()]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)

    assert unset[-3:] == ["export OPENAI_API_KEY=…", *commands]
    assert told == {"written": str(file), "key_env": "OPENAI_API_KEY", "next": commands}
    assert "sk-very-secret" not in file.read_text()


def test_at_a_terminal_it_asks_and_the_suggestions_are_a_return_away(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    number = 1 + [preset.name for preset in PRESETS].index("google")
    answers = [str(number), "", "", "gemini-mine", "", "asked.yaml"]
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    ran = subprocess.run(
        [sys.executable, "-m", "app.cli", "init"],
        stdin=theirs,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},  # noqa: TID251
        check=False,
    )
    os.close(ours)
    os.close(theirs)

    assert ran.returncode == 0, ran.stderr
    assert "Whose models?" in ran.stderr
    settings = load_settings(tmp_path / "asked.yaml")
    assert [tier.model for tier in settings.tiers] == [
        "gemini-3.5-flash-lite",
        "gemini-mine",
        "gemini-4-argon",
    ]
