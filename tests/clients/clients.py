"""The clients of the matrix, each in an environment of its own, made from pins."""

import asyncio
import hashlib
import os
import shutil
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
# Inside the project's own .venv: ignored by git, and gone with `make clean`.
ENVIRONMENTS: Final = ROOT / ".venv" / "clients"
NODE: Final = ENVIRONMENTS / "node"
NODE_FILES: Final = [
    HERE / "node" / name for name in ("package.json", "package-lock.json", ".npmrc")
]
STAMP: Final = "made-from"

OPENAI: Final[Mapping[int, str]] = {
    400: "BadRequestError",
    404: "NotFoundError",
    429: "RateLimitError",
    502: "InternalServerError",
}
PYDANTIC_AI: Final[Mapping[int, str]] = {
    400: "ModelContextWindowExceededError",
    404: "ModelNotFoundError",
    429: "ModelRateLimitError",
    502: "ModelServerError",
}
VERCEL: Final[Mapping[int, str]] = dict.fromkeys(OPENAI, "APICallError")


@dataclass(frozen=True, slots=True)
class Client:
    """`errors`: its exception for each status; `broken`: the one for a stream that breaks.

    `lacks` names the actions it has not.
    """

    name: str
    driver: str
    errors: Mapping[int, str]
    broken: str
    lacks: frozenset[str] = frozenset({"asks_again"})

    @property
    def needs_node(self) -> bool:
        return self.driver.endswith(".mjs")

    @property
    def command(self) -> Sequence[str]:
        """How its driver is started, from the project's folder."""
        if self.needs_node:
            return ("node", str(NODE / self.driver))
        python = ENVIRONMENTS / self.name / "bin" / "python"
        return (str(python), "-m", f"tests.clients.drivers.{self.driver}")


CLIENTS: Final = (
    Client("openai-3", "with_openai", OPENAI, "APIError"),
    Client("openai-2", "with_openai", OPENAI, "APIError"),
    Client("langchain", "with_langchain", {**OPENAI, 400: "ContextOverflowError"}, "APIError"),
    Client("pydantic-ai", "with_pydantic_ai", PYDANTIC_AI, "ModelAPIError", frozenset()),
    Client(
        "instructor",
        "with_instructor",
        OPENAI,
        "APIError",
        lacks=frozenset({"stream_usage", "tools", "tools_stream"}),
    ),
    Client("openai-node", "with_openai.mjs", OPENAI, "APIError"),
    Client("vercel-ai", "with_vercel_ai.mjs", VERCEL, "StreamProviderError"),
)


def runnable() -> Sequence[Client]:
    """The clients whose language is here."""
    if shutil.which("node") and shutil.which("npm"):
        return CLIENTS
    sys.stdout.write("node or npm is missing: ONLY THE PYTHON HALF OF THE MATRIX IS RUN\n")
    return [client for client in CLIENTS if not client.needs_node]


def pins_of(name: str) -> Path:
    """The file that a Python client's environment is made from."""
    return HERE / "pins" / f"requirements-{name}.txt"


async def prepare(clients: Sequence[Client]) -> None:
    """Make the environments, unless they stand as their pins say."""
    for client in clients:
        if not client.needs_node:
            await _prepare_python(client.name)
    if any(client.needs_node for client in clients):
        await _prepare_node()


async def _prepare_python(name: str) -> None:
    folder = ENVIRONMENTS / name
    pins = pins_of(name)
    if _stands(folder, [pins]):
        return
    await install(sys.executable, "-m", "venv", "--clear", str(folder))
    pip = ("-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    await install(str(folder / "bin" / "python"), *pip, "--require-hashes", "-r", str(pins))
    _stamp(folder, [pins])


async def _prepare_node() -> None:
    if not _stands(NODE, NODE_FILES):
        shutil.rmtree(NODE, ignore_errors=True)
        NODE.mkdir(parents=True)
        for file in NODE_FILES:
            shutil.copy(file, NODE)
        await install("npm", "ci", "--prefix", str(NODE), "--loglevel=error", **trusted())
        _stamp(NODE, NODE_FILES)
    # Modules are looked for beside the file that imports them.
    for driver in (HERE / "drivers").glob("*.mjs"):
        shutil.copy(driver, NODE)


def _stands(folder: Path, pins: Sequence[Path]) -> bool:
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == _digest(pins)


def _stamp(folder: Path, pins: Sequence[Path]) -> None:
    (folder / STAMP).write_text(_digest(pins))


def _digest(pins: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()


def trusted() -> dict[str, str]:
    """Has Node trust the authorities that this machine trusts, as pip does, besides its own."""
    cafile = ssl.get_default_verify_paths().cafile or ""
    return {"NODE_EXTRA_CA_CERTS": cafile} if cafile else {}


async def install(*command: str, **usual: str) -> None:
    """`usual`: variables, where the environment has none of that name."""
    sys.stdout.write(f"  {' '.join(command)}\n")
    sys.stdout.flush()
    environment = {**usual, **os.environ}  # noqa: TID251 - a command inherits it
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    if await process.wait() != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
