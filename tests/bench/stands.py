"""The processes that are measured: each pinned to the first core, their provider to the second."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx
import orjson

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STARTING_S = 60.0
MEMORY = {"RSS": "VmRSS", "RssAnon": "RssAnon", "RssFile": "RssFile"}
"""Kinds of memory, and what the kernel calls them. Source: proc_pid_status(5)."""
FIRST, LAST = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))

_NGINX = """\
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 10000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  upstream provider {{ server {upstream}; keepalive 128; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Stand:
    """A process that is up. `started_s`: how long that took."""

    url: str
    process: "subprocess.Popen[str]"
    started_s: float

    def cpu_s(self) -> float:
        """What it and its children have used of the processor."""
        return sum(_cpu_s(pid) for pid in _family(self.process.pid))

    def memory_mib(self) -> dict[str, float]:
        """What it and its children have in memory: all of it, their own, and pages of files.

        The kernel counts pages of mapped files as theirs, and may drop them when it needs the room.
        """
        family = [memory_mib(pid) for pid in _family(self.process.pid)]
        return {kind: sum(member[kind] for member in family) for kind in MEMORY}

    def settle(self, quiet_s: float = 1.0) -> None:
        """Wait until it uses next to nothing: what starting left to do is done."""
        used_s = self.cpu_s()
        while True:
            time.sleep(quiet_s)
            now_s = self.cpu_s()
            if now_s - used_s < 0.03 * quiet_s + TICK_S:
                return
            used_s = now_s

    def metrics(self) -> str:
        """What it says at `/metrics`."""
        return httpx.get(f"{self.url}/metrics", trust_env=False).text


class Stands:
    """Everything that runs during one benchmark, stopped together."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()

    def __enter__(self) -> "Stands":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stack.close()

    def provider(self) -> Stand:
        """The scripted provider, on the core that the load comes from."""
        return self._start("provider", LAST, "-m", "tests.bench.upstream")

    def bare(self, upstream: Stand, transport: str) -> Stand:
        """A proxy that only passes on."""
        arguments = ("-m", "tests.bench.bare", upstream.url, "--transport", transport)
        return self._start(f"bare-{transport}", FIRST, *arguments)

    def gateway(self, name: str, configuration: Mapping[str, object]) -> Stand:
        """The real command with this configuration."""
        file = self._directory / f"{name}.json"
        file.write_bytes(orjson.dumps(configuration))
        arguments = ("-m", "app.cli", "serve", "--log-level", "WARNING", "--config", str(file))
        return self._start(name, FIRST, *arguments)

    def nginx(self, upstream: Stand) -> Stand | None:
        """A reverse proxy in C, as the limit of what passing on can cost; None without one."""
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")  # noqa: TID251
        if program is None:
            return None
        port = 20_000 + os.getpid() % 20_000
        file = self._directory / "nginx.conf"
        file.write_text(
            _NGINX.format(
                directory=self._directory,
                upstream=upstream.url.removeprefix("http://"),
                port=port,
            )
        )
        url = f"http://127.0.0.1:{port}"
        command = [program, "-c", str(file), "-e", str(self._directory / "error.log")]
        process = self._run("nginx", command, FIRST)
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < STARTING_S:
            try:
                httpx.get(f"{url}/counts", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            return Stand(url, process, time.monotonic() - begun_s)
        raise SystemExit("nginx did not start; see its error.log")

    def _start(self, name: str, core: int, *arguments: str) -> Stand:
        begun_s = time.monotonic()
        process = self._run(name, [sys.executable, *arguments], core)
        log = self._directory / f"{name}.log"
        while time.monotonic() - begun_s < STARTING_S and process.poll() is None:
            for line in log.read_text().splitlines():
                if "listens on http" in line:
                    url = line.split("listens on ")[1].split("/v1")[0].split()[0]
                    return Stand(url, process, time.monotonic() - begun_s)
            time.sleep(0.01)
        raise SystemExit(f"{name} did not start:\n{log.read_text()}")

    def _run(self, name: str, command: list[str], core: int) -> "subprocess.Popen[str]":
        log: IO[str] = self._stack.enter_context((self._directory / f"{name}.log").open("w"))
        process = subprocess.Popen(  # noqa: S603 - our own modules, and nginx
            command,
            stdout=log,
            stderr=log,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - no threads yet
        )
        self._stack.callback(_stop, process)
        return process


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # utime, stime, and those of children that have ended.
    return sum(int(ticks) for ticks in fields[11:15]) * TICK_S


def memory_mib(pid: int) -> dict[str, float]:
    """What the process has in memory, by kind."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    told = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return {kind: int(told[name][0]) / 1024 for kind, name in MEMORY.items()}
