"""`autoshift init`: asks a few questions, or none, and writes a configuration."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import yaml
from rich.console import Console
from rich.markup import escape
from rich.prompt import Prompt
from rich.table import Table

from app.errors import SettingsError
from app.init.presets import BY_NAME, PRESETS, Preset, Rung
from app.init.writing import Draft, text_of
from app.manual import DONE
from app.settings.configuration import build_settings, secret

SAYS = "write a configuration of your own, after a few questions"
EXAMPLES = [
    "init",
    "init --provider openai --yes --output autoshift.yaml",
    "init --provider azure --resource my-resource --tier small=my-nano --tier large=my-big --yes",
    "init --provider other --base-url https://llm.example.com/v1 --key-env LLM_KEY "
    "--tier small=a --tier large=b --yes",
]
OUTPUT = Path("autoshift.yaml")
FEWEST_TIERS = 2
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_RESOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift init`."""
    parser.add_argument("--provider", choices=tuple(BY_NAME), help="whose models")
    parser.add_argument("--resource", metavar="NAME", help="Azure: the name of your resource")
    parser.add_argument("--base-url", metavar="URL", help="where the provider is, if elsewhere")
    parser.add_argument(
        "--key-env", metavar="NAME", help="the variable that holds the key; none: no key"
    )
    parser.add_argument(
        "--tier",
        action="append",
        type=_tier,
        metavar="NAME=MODEL",
        help="a tier, again for more, cheapest first; instead of the ladder suggested",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help=f"where to write it; default: {OUTPUT}"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file if it is there")
    parser.add_argument("--yes", action="store_true", help="ask nothing; take what is suggested")
    parser.add_argument("--json", action="store_true", help="what was written, as JSON")


def run(given: argparse.Namespace) -> int:
    """Ask and write; the exit status. Errors: SettingsError."""
    console = Console(stderr=True)
    asks = sys.stdin.isatty() and not given.yes
    try:
        draft = _asked(given, console) if asks else _told(given)
        output = given.output or OUTPUT
        if asks and given.output is None:
            output = Path(_ask(console, "Write it to", str(OUTPUT)))
    except EOFError:
        raise SettingsError("the questions were not answered; nothing was written") from None
    text = text_of(draft, str(output))
    build_settings(yaml.safe_load(text), where="these answers")
    _write(text, output, force=given.force)
    _tell(draft, output, console, as_json=given.json)
    return DONE


def _told(given: argparse.Namespace) -> Draft:
    """From the options alone. Errors: SettingsError where one is missing."""
    if given.provider is None:
        raise SettingsError(
            f"--provider: say which: {', '.join(BY_NAME)}; or run init at a terminal to be asked"
        )
    preset = BY_NAME[given.provider]
    base_url = given.base_url
    if base_url is None and preset.asks_for == "resource":
        if given.resource is None:
            raise SettingsError("--resource: say the name of your Azure resource, or --base-url")
        base_url = _at_resource(preset, given.resource)
    if base_url is None and preset.asks_for == "base_url":
        raise SettingsError("--base-url: say where this provider is")
    return _draft(preset, base_url, given.key_env, given.tier)


def _asked(given: argparse.Namespace, console: Console) -> Draft:
    """From the options, and from whoever sits at the terminal for what they leave open."""
    preset = BY_NAME[given.provider or _ask_provider(console)]
    base_url = given.base_url
    if base_url is None and preset.asks_for == "resource":
        base_url = _at_resource(preset, given.resource or _ask(console, "Name of your resource"))
    elif base_url is None and (preset.asks_for == "base_url" or preset.key_env is None):
        base_url = _ask(console, "Its address", preset.base_url)
    key_env = given.key_env
    if key_env is None and preset.key_env is not None:
        key_env = _ask(
            console,
            "Environment variable that holds the key (its name, not the key)",
            preset.key_env,
        )
    tiers = given.tier or [
        (rung.name, _ask(console, f"Model of tier {rung.name}", rung.model))
        for rung in preset.rungs
    ]
    return _draft(preset, base_url, key_env, tiers)


def _draft(
    preset: Preset,
    base_url: str | None,
    key_env: str | None,
    tiers: Sequence[tuple[str, str]] | None,
) -> Draft:
    key_env = preset.key_env if key_env is None else None if key_env == "none" else key_env
    if key_env is not None and not _VARIABLE.fullmatch(key_env):
        raise SettingsError(
            "--key-env: this is no variable's name; if it is the key itself, export it under a "
            f"name such as {preset.key_env or 'PROVIDER_API_KEY'} and give that name"
        )
    return Draft(preset, base_url or preset.base_url, key_env, _rungs(preset, tiers, base_url))


def _rungs(
    preset: Preset, tiers: Sequence[tuple[str, str]] | None, base_url: str | None
) -> tuple[Rung, ...]:
    """The ladder: suggested rungs where name and model are as suggested, else new ones."""
    suggested = {rung.name: rung for rung in preset.rungs}
    if base_url is not None:  # then it is where all of them are
        suggested = {name: replace(rung, base_url=None) for name, rung in suggested.items()}
    if not tiers:
        return tuple(suggested.values())
    if len(tiers) < FEWEST_TIERS:
        raise SettingsError("--tier: a ladder has two tiers or more")
    rungs = []
    for step, (name, model) in enumerate(tiers):
        prior = 0.6 + 0.3 * step / (len(tiers) - 1)
        rung = suggested.get(name, Rung(name, model, prior))
        is_suggested = rung.model == model
        rungs.append(rung if is_suggested else replace(rung, model=model, price=None))
    return tuple(rungs)


def _at_resource(preset: Preset, resource: str) -> str:
    if not _RESOURCE.fullmatch(resource):
        raise SettingsError(f"--resource: {resource!r} is no resource's name, such as my-resource")
    return preset.base_url.replace("RESOURCE", resource)


def _ask_provider(console: Console) -> str:
    table = Table(box=None, show_header=False, pad_edge=False)
    for number, preset in enumerate(PRESETS, 1):
        table.add_row(str(number), preset.name, preset.title)
    console.print(table)
    numbers = {str(number): preset.name for number, preset in enumerate(PRESETS, 1)}
    answer = Prompt.ask(
        "Whose models?",
        console=console,
        choices=[*BY_NAME, *numbers],
        show_choices=False,
        default=PRESETS[0].name,
    )
    return numbers.get(answer, answer)


def _ask(console: Console, question: str, default: str | None = None) -> str:
    while True:
        answer = Prompt.ask(escape(question), console=console, default=default)
        if answer and answer.strip():
            return answer.strip()


def _write(text: str, output: Path, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{output}: is there already; choose another --output, or say --force"
        ) from None
    except OSError as exc:
        raise SettingsError(f"{output}: cannot be written: {exc.strerror}") from None


def _tell(draft: Draft, output: Path, console: Console, *, as_json: bool) -> None:
    following = [f"autoshift {command} --config {output}" for command in ("check", "serve")]
    if as_json:
        told = {"written": str(output), "key_env": draft.key_env, "next": following}
        print(orjson.dumps(told).decode(), flush=True)  # noqa: T201
        return
    console.print(f"Written: {output}. Next:", highlight=False, markup=False)
    if draft.key_env is not None and not _is_set(draft.key_env):
        following = [f"export {draft.key_env}=…", *following]
    for line in following:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _is_set(variable: str) -> bool:
    try:
        secret(variable, wanted_by="init")
    except SettingsError:
        return False
    return True


def _tier(text: str) -> tuple[str, str]:
    name, _, model = text.partition("=")
    if not name or not model:
        raise argparse.ArgumentTypeError(f"{text!r}: must be NAME=MODEL, such as small=gpt-6-luna")
    return name, model
