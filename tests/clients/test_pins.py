"""What the clients' environments are made from is pinned, and comes from where the machine says."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.clients.clients import CLIENTS, HERE, NODE_FILES, install, pins_of, trusted

PYTHON = [pins_of(client.name) for client in CLIENTS if not client.needs_node]


@pytest.mark.parametrize("pins", PYTHON, ids=lambda pins: pins.stem)
def test_every_pin_has_its_hash_and_none_an_address(pins: Path) -> None:
    told = pins.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", told)

    assert [entry[:40] for entry in entries if "--hash=sha256:" not in entry] == []
    assert not re.search(r"://|--(?!hash)", told)


def test_the_lock_file_names_no_registry() -> None:
    (lock,) = [file for file in NODE_FILES if file.name == "package-lock.json"]
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    installed = {name: told for name, told in packages.items() if name}

    assert len(installed) >= 4
    assert [name for name, told in installed.items() if "integrity" not in told] == []
    assert [name for name, told in installed.items() if "resolved" in told] == []


def test_every_file_of_pins_belongs_to_a_client() -> None:
    assert sorted((HERE / "pins").glob("*.txt")) == sorted(PYTHON)


@pytest.mark.anyio
async def test_in_a_bare_environment_node_trusts_whom_this_machine_trusts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for known, says in ((None, trusted()["NODE_EXTRA_CA_CERTS"]), ("/mine.pem", "/mine.pem")):
        monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
        if known is not None:
            monkeypatch.setenv("NODE_EXTRA_CA_CERTS", known)
        told = f"import os; assert os.environ['NODE_EXTRA_CA_CERTS'] == {says!r}"
        await install(sys.executable, "-c", told, **trusted())
