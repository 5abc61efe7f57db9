"""`autoshift records export --format training`: what a gateway's answers leave to train with."""

import json
from pathlib import Path

import pytest
import yaml
from openai import AsyncOpenAI

from tests.support.command import autoshift
from tests.support.gateway import Gateway, configuration, gateway
from tests.support.provider import INVALID, VALID, Says

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:1/v1"
COUNTED = ("exported", "duplicates", "lowest_tier", "unverified", "refused", "unused", "no_text")


def config(path: Path, store: Path) -> Path:
    path.write_text(yaml.safe_dump(configuration(NOWHERE, store)), encoding="utf-8")
    return path


async def climbed(gate: Gateway, question: str, answer: str) -> str:
    """The decision of a question that the lowest tier's answer was not good enough for."""
    gate.provider.answers("model-small", Says("no idea"))
    gate.provider.answers("model-medium", Says(answer))
    gate.provider.verdicts("model-medium", INVALID, VALID)
    gate.provider.verdicts("model-large", VALID)
    reply = await gate.ask(question)
    assert reply.headers["x-autoshift-tier"] == "medium"
    decision: str = reply.headers["x-autoshift-decision"]
    return decision


async def test_right_answers_of_stronger_tiers_are_exported_each_once(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a", records={"text": "exchange"}) as gate:
        await gate.ask("What is 1 + 1?")
        await climbed(gate, "What is 17 * 23?", "It is 390 or so.")
        better = await climbed(gate, "What is 17 * 23?", "It is 391.")
        wrong = await climbed(gate, "What is 5 - 9?", "It is 4.")
        for decision, correct in ((better, True), (wrong, False)):
            body = {"decision": decision, "correct": correct}
            assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200
        gate.provider.verdicts("model-medium", INVALID, VALID)
        gate.provider.answers("model-medium", Says("Guten Tag", pieces=("Guten", " Tag")))
        async with AsyncOpenAI(base_url=f"{gate.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(
                model="auto",
                stream=True,
                messages=[
                    {"role": "system", "content": "Translate into German."},
                    {"role": "user", "content": "Good day"},
                ],
            )
            streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert streamed == "Guten Tag"
        beside = tmp_path / "beside.jsonl"
        remote = await autoshift(
            *("records", "export", beside, "--format", "training", "--url", gate.url, "--json")
        )
    here = config(tmp_path / "a.yaml", tmp_path / "a")
    file = tmp_path / "examples.jsonl"
    ran = await autoshift("records", "export", file, "--format", "training", "--config", here)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "2 examples exported; left out: 1 of the lowest tier, 1 that were refused, "
        "1 asked more than once\n"
    )
    assert json.loads(remote.out) == dict(zip(COUNTED, (2, 1, 1, 0, 1, 0, 0), strict=True))
    examples = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert examples == [
        {
            "messages": [
                {"role": "user", "content": "What is 17 * 23?"},
                {"role": "assistant", "content": "It is 391."},
            ]
        },
        {
            "messages": [
                {"role": "system", "content": "Translate into German."},
                {"role": "user", "content": "Good day"},
                {"role": "assistant", "content": "Guten Tag"},
            ]
        },
    ]
    assert beside.read_bytes() == file.read_bytes()


async def test_without_kept_words_it_says_so_and_touches_no_file(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a", records={"text": "full"}) as gate:
        await climbed(gate, "What is 17 * 23?", "It is 391.")
    here = config(tmp_path / "a.yaml", tmp_path / "a")
    file = tmp_path / "examples.jsonl"
    file.write_text("mine", encoding="utf-8")
    ran = await autoshift("records", "export", file, "--format", "training", "--config", here)
    assert (ran.status, ran.out) == (1, "")
    assert "set records.text to exchange" in ran.err
    assert file.read_text("utf-8") == "mine"


async def test_one_tenant_is_exported_and_erased_examples_are_gone(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a", records={"text": "exchange"}) as gate:
        kept = await climbed(gate, "What is 17 * 23?", "It is 391.")
        erased = await climbed(gate, "What is 18 * 23?", "It is 414.")
        assert "414" in (await gate.decision(erased))["example"]
        gate.witness.erased = True
        await gate.http.delete("/v1/records", params={"decision": erased})
        assert "391" in (await gate.decision(kept))["example"]
    here = config(tmp_path / "a.yaml", tmp_path / "a")
    ran = await autoshift("records", "export", "--format", "training", "--config", here)
    assert ran.out.count("\n") == 1
    assert "391" in ran.out
    assert ran.err == "1 examples exported\n"
    other = await autoshift(
        *("records", "export", "--format", "training", "--config", here, "--tenant", "other")
    )
    assert (other.status, other.out) == (1, "")
