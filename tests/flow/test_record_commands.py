"""`autoshift records` as its users run it: a process, on the store or beside a running gateway."""

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from app.embedder import build_embedder
from app.record_files import Header, encoded, line_of
from app.settings import EmbedderSection
from tests.support.gateway import Gateway, configuration, gateway
from tests.support.records import direction, record

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:1/v1"


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str


async def run(*arguments: str | Path, stdin: bytes = b"") -> Ran:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "records", *map(str, arguments)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


def config(path: Path, store: Path) -> Path:
    path.write_text(yaml.safe_dump(configuration(NOWHERE, store)), encoding="utf-8")
    return path


async def filled(store: Path, count: int) -> list[str]:
    """The decisions of a gateway that is stopped again."""
    async with gateway(store) as gate:
        return await decided(gate, count)


async def decided(gate: Gateway, count: int) -> list[str]:
    replies = [await gate.ask(f"What is {number} + 2?") for number in range(count)]
    return [reply.headers["x-autoshift-decision"] for reply in replies]


@asynccontextmanager
async def refusing_at_first(port: int, times: int) -> AsyncGenerator[str, None]:
    """The URL of a front of the gateway, whose first callers asked too often."""
    refused = itertools.count(1)
    body = b'{"error": {"message": "not so fast"}}'
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: %d\r\n\r\n%s"

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if next(refused) <= times:
            writer.write(refusal % (len(body), body))
        else:
            behind, ahead = await asyncio.open_connection("127.0.0.1", port)
            ahead.write(head.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
            writer.write(await behind.read(-1))
            ahead.close()
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_export_waits_where_it_reads_too_fast(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        decisions = await decided(gate, 2)
        port = httpx.URL(gate.url).port
        assert port is not None
        async with refusing_at_first(port, times=2) as url:
            exported = await run("export", "-", "--url", url)
        assert exported.status == 0, exported.err
        assert [
            json.loads(line)["record"]["id"] for line in exported.out.splitlines()[1:]
        ] == decisions
        async with refusing_at_first(port, times=1) as url:
            erased = await run("delete", "--all", "--yes", "--url", url)
        assert "not so fast" in erased.err  # to erase is not tried again by itself


async def test_records_go_to_a_file_and_into_another_store_and_teach_there(tmp_path: Path) -> None:
    decisions = await filled(tmp_path / "a", 3)
    here = config(tmp_path / "a.yaml", tmp_path / "a")
    there = config(tmp_path / "b.yaml", tmp_path / "b")
    file = tmp_path / "records.jsonl"
    exported = await run("export", file, "--config", here, "--json")
    assert (exported.status, exported.out, exported.err) == (0, '{"exported":3}\n', "")
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert lines[0]["format"] == "autoshift.records"
    assert [line["record"]["id"] for line in lines[1:]] == decisions
    assert all(line["vector"] for line in lines[1:])
    for new in (3, 0):
        imported = await run("import", file, "--config", there, "--json")
        assert imported.status == 0, imported.err
        counts = json.loads(imported.out)
        assert counts == {"read": 3, "new": new, "re_embedded": 0, "without_vector": 0}
    async with gateway(tmp_path / "b") as gate:
        page = (await gate.http.get("/v1/records?order=asc")).json()
        assert [each["id"] for each in page["data"]] == decisions
        told = await gate.decision_of(await gate.ask("What is 1 + 2?"))
        assert told["start"]["neighbours"] == 3
        assert told["start"]["top_similarity"] == pytest.approx(1, abs=1e-3)


async def test_an_export_to_stdout_is_nothing_but_the_records(tmp_path: Path) -> None:
    decisions = await filled(tmp_path / "a", 2)
    here = config(tmp_path / "a.yaml", tmp_path / "a")
    exported = await run("export", "--config", here)
    assert [json.loads(line).get("version") for line in exported.out.splitlines()] == [
        1,
        None,
        None,
    ]
    assert exported.err == "2 records exported\n"
    deleted = await run("delete", "--decision", decisions[0], "--config", here, "--yes", "--json")
    assert (deleted.status, deleted.out) == (0, '{"deleted":1}\n')
    again = await run("import", "--config", here, "--json", stdin=exported.out.encode())
    assert json.loads(again.out)["new"] == 1
    # What was erased and imported again is not erased once more by the outbox.
    async with gateway(tmp_path / "a") as gate:
        assert (await gate.decision(decisions[0]))["id"] == decisions[0]


async def test_a_running_gateway_is_exported_and_erased_through_its_api(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a") as gate:
        decisions = await decided(gate, 3)
        here = config(tmp_path / "a.yaml", tmp_path / "a")
        file = tmp_path / "records.jsonl"
        refused = await run("export", file, "--config", here)
        assert refused.status == 2
        assert "--url" in refused.err
        assert not file.exists()
        exported = await run("export", file, "--url", gate.url, "--json")
        assert (exported.status, exported.out) == (0, '{"exported":3}\n'), exported.err
        deleted = await run("delete", "--decision", decisions[0], "--url", gate.url, "--yes")
        assert (deleted.status, deleted.out) == (0, "1 records erased\n")
        everything = await run("delete", "--all", "--url", f"{gate.url}/v1/", "--yes")
        assert everything.out == "2 records erased\n"
        gate.witness.erased = True
    there = config(tmp_path / "b.yaml", tmp_path / "b")
    imported = await run("import", file, "--config", there, "--json")
    assert json.loads(imported.out) == {
        "read": 3,
        "new": 3,
        "re_embedded": 0,
        "without_vector": 0,
    }


async def test_nothing_is_erased_without_a_yes(tmp_path: Path) -> None:
    here = config(tmp_path / "a.yaml", tmp_path / "a")
    decisions = await filled(tmp_path / "a", 1)
    for arguments, said in (
        (["--all"], "--yes"),
        (["--yes"], "say which"),
        (["--all", "--before", "5", "--yes"], "say which"),
        (["--before", "soon", "--yes"], "ISO 8601|Unix time"),
    ):
        refused = await run("delete", *arguments, "--config", here)
        assert refused.status == 2
        assert any(each in refused.err for each in said.split("|")), refused.err
    async with gateway(tmp_path / "a") as gate:
        assert (await gate.decision(decisions[0]))["id"] == decisions[0]


async def test_vectors_of_another_embedder_are_refused_or_made_anew(tmp_path: Path) -> None:
    there = config(tmp_path / "b.yaml", tmp_path / "b")
    with_text, without = record(embedder="other/8"), record(embedder="other/8")
    with_text.text = "What is 1 + 2?"
    file = tmp_path / "records.jsonl"
    lines = [line_of(each, encoded(direction(1))) for each in (with_text, without)]
    file.write_bytes(b"".join([Header("other/8").line(), *lines]))
    refused = await run("import", file, "--config", there)
    assert refused.status == 2
    assert "other/8" in refused.err
    assert "--re-embed" in refused.err
    imported = await run("import", file, "--config", there, "--re-embed", "--json")
    assert json.loads(imported.out) == {
        "read": 2,
        "new": 2,
        "re_embedded": 1,
        "without_vector": 1,
    }
    async with gateway(tmp_path / "b") as gate:
        assert (await gate.decision(with_text.id))["embedder"] == build_embedder(
            EmbedderSection()
        ).tag
        assert (await gate.decision(without.id))["embedder"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello\n", "line 1"),
        (Header(None).line() + b"{}\n", "line 2"),
        (Header(None).line() + line_of(record(tenant="other"), None), "another tenant"),
        (Header(None).line() + line_of(record("no-uuid"), None), "not a UUID"),
    ],
)
async def test_a_file_that_is_not_one_is_refused_with_its_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    there = config(tmp_path / "b.yaml", tmp_path / "b")
    refused = await run("import", "--config", there, stdin=content)
    assert refused.status == 2
    assert said in refused.err
    assert len(refused.err.splitlines()) == 1


async def test_a_gateway_that_is_not_there_is_named() -> None:
    refused = await run("export", "--url", "http://127.0.0.1:1")
    assert refused.status == 2
    assert "http://127.0.0.1:1 does not answer" in refused.err
