"""A policy of one's own: the file that the README shows is the file that runs here."""

from pathlib import Path

import pytest

from app.errors import SettingsError
from app.policies import build_policies
from app.settings.configuration import build_settings
from tests.support.gateway import configuration, gateway

pytestmark = pytest.mark.anyio

SHOWN = Path(__file__).parents[2] / "config" / "own_policy.py"
LONG = "Please sum this up: " + 2000 * "word "


async def test_the_example_routes_as_it_says(tmp_path: Path) -> None:
    async with gateway(tmp_path, own_policies=[str(SHOWN)], policy="by_length") as gate:
        short, long = await gate.ask(), await gate.ask(LONG, model="auto:by_length")

        assert short.headers["x-autoshift-tier"] == "small"
        assert short.headers["x-autoshift-verified"] == "yes"
        assert long.headers["x-autoshift-tier"] == "large"
        assert gate.provider.asked() == ["model-small", "model-large"]
        models = (await gate.http.get("/v1/models")).json()["data"]
        assert "auto:by_length" in {model["id"] for model in models}
        told = (await gate.http.get("/metrics")).text
        assert 'policy="by_length"' in told


def test_the_example_is_short() -> None:
    lines = [line for line in SHOWN.read_text().splitlines() if line.strip()]

    assert len(lines) <= 30


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        (None, "is no Python file"),
        ("def build(", "cannot be run: SyntaxError"),
        ("raise RuntimeError('no')", "cannot be run: RuntimeError: no"),
        ("x = 1", r"needs a function build\(settings\)"),
        ("def build(settings):\n    return None\n", r"needs a function build\(settings\)"),
        ("def build(settings):\n    return object()\n", "has no name, version, neighbours, next"),
        (SHOWN.read_text().replace('"by_length"', '"value"'), "the name 'value' is taken"),
        (SHOWN.read_text().replace('"by_length"', '"by length"'), "a name is letters, digits"),
    ],
)
def test_a_file_that_gives_no_policy_is_refused_at_the_start(
    tmp_path: Path, source: str | None, wrong: str
) -> None:
    path = tmp_path / "mine.py"
    if source is not None:
        path.write_text(source)
    settings = configuration("http://127.0.0.1:9/v1", tmp_path, own_policies=[str(path)])

    with pytest.raises(SettingsError, match=wrong) as failure:
        build_policies(build_settings(settings))

    assert str(path) in failure.value.message
