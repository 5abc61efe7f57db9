"""The gateway behind the real nginx, with the configuration that we ship."""

import asyncio
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tests.support.gateway import Gateway, chat, gateway, until
from tests.support.provider import Says

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not Path(NGINX).exists(), reason="nginx is missing; Debian: apt-get install nginx-light"
    ),
]
SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx.conf"
CA = trustme.CA()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def trust() -> ssl.SSLContext:
    trusted = ssl.create_default_context()
    CA.configure_trust(trusted)
    return trusted


def laid_out(prefix: Path, gateway_url: str, port: int) -> None:
    """What an operator puts there; only the two addresses differ from what we ship."""
    text = SHIPPED.read_text(encoding="utf-8")
    behind = gateway_url.removeprefix("http://")
    text, changed = re.subn(r"server 127\.0\.0\.1:8080;", f"server {behind};", text)
    assert changed == 1
    text, changed = re.subn(r"listen 443 ", f"listen 127.0.0.1:{port} ", text)
    assert changed == 1
    (prefix / "tls").mkdir(parents=True)
    (prefix / "nginx.conf").write_text(text, encoding="utf-8")
    certificate = CA.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(prefix / "tls" / "server.key")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(prefix / "tls" / "server.crt", append=True)


@asynccontextmanager
async def proxied(door: Gateway, prefix: Path) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client in front of nginx in front of this gateway."""
    port = free_port()
    laid_out(prefix, door.url, port)
    with (prefix / "out").open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *(NGINX, "-p", str(prefix), "-c", "nginx.conf", "-g", "daemon off;"),
            stdout=out,
            stderr=out,
        )
    try:
        async with httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}", verify=trust(), trust_env=False, timeout=15
        ) as http:
            await until(lambda: answers(http))
            yield http
    finally:
        process.terminate()
        await process.wait()


async def answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    laid_out(tmp_path, "http://127.0.0.1:8080", 443)
    ran = subprocess.run(  # noqa: S603
        [NGINX, "-t", "-q", "-p", str(tmp_path), "-c", "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "warn" not in ran.stderr


async def test_a_stream_passes_unbuffered_and_a_client_that_leaves_stops_it(tmp_path: Path) -> None:
    async with gateway(tmp_path / "store") as door, proxied(door, tmp_path / "nginx") as http:
        gate = asyncio.Event()
        client = AsyncOpenAI(
            base_url=f"{str(http.base_url).rstrip('/')}/v1",
            api_key="x",
            http_client=DefaultAsyncHttpxClient(verify=trust(), trust_env=False),
        )
        door.provider.answers("model-small", Says(pieces=["first ", "second"], gate=gate))

        stream = await client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "Go on"}], stream=True
        )
        said = ""
        async for chunk in stream:
            said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            if said == "first ":  # it is here though the provider has not said the rest
                gate.set()
        assert said == "first second"
        await client.close()

        gate.clear()
        async with http.stream(
            "POST", "/v1/chat/completions", json=chat(model="small", stream=True)
        ) as response:
            async for line in response.aiter_lines():
                if "first" in line:
                    break
        await until(lambda: door.provider.left_early == 1)


# aiohttp warns of what it sends in one piece, to the provider here.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_large_bodies_pass_and_what_is_for_insiders_does_not(tmp_path: Path) -> None:
    async with gateway(tmp_path / "store") as door, proxied(door, tmp_path / "nginx") as http:
        small = await http.post("/v1/chat/completions", json=chat("x" * 2_000_000, model="large"))
        large = await http.post("/v1/chat/completions", content=b" " * (33 * 1024 * 1024))
        inside = [(await http.get(path)).status_code for path in ("/metrics", "/readyz")]

    assert small.status_code == 200, small.text
    assert small.headers["x-content-type-options"] == "nosniff"
    assert small.headers["x-autoshift-tier"] == "large"
    assert large.status_code == 413
    assert inside == [404, 404]
    log = (tmp_path / "nginx" / "out").read_text()
    assert small.headers["x-autoshift-decision"] in log, "a line can be found by its decision"
