"""What of a request is embedded, and the models that turn it into a vector."""

import hashlib
import importlib.util
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import orjson
from anyio import CapacityLimiter, to_thread
from safetensors.numpy import load
from tokenizers import Tokenizer

from app.errors import EmbedderError, SettingsError
from app.jsontext import Json
from app.records import Vector
from app.settings import EmbedderSection
from app.wire import ChatRequest, parts, text_of

if TYPE_CHECKING:
    from fastembed import TextEmbedding

TEXT_CHARACTERS = 8_000
EARLIER_TURN_CHARACTERS = 600
EARLIER_TURNS = 4
TASK_CHARACTERS = 64


class Embedder(Protocol):
    """Turns a text into a vector; vectors of different `tag` are never compared."""

    @property
    def tag(self) -> str:
        """The model, its version and its dimension."""
        ...

    @property
    def dimension(self) -> int:
        """The length of every vector."""
        ...

    async def embed(self, text: str) -> Vector | None:
        """The text's vector; None where there is no text to speak of.

        Shape: (dimension,), float32, length 1.
        Errors: EmbedderError.
        """
        ...


def build_embedder(section: EmbedderSection) -> Embedder:
    """The embedder this section asks for, its model loaded; downloads nothing.

    Errors: SettingsError where the model is not on this machine.
    """
    match section.kind:
        case "static":
            return StaticEmbedder()
        case "fastembed":
            return FastEmbedEmbedder(section.model, section.path)


def question_text(request: ChatRequest) -> str:
    """What is asked: the last user turn, and what it refers back to.

    A short or referring turn ("yes", "and in Python?") takes the turns before it along, back to a
    user turn that stands on its own. System prompts, tool results and schemas stay out: templates
    would make all questions look alike. Images, audio and files leave a marker.
    """
    question: list[str] = []
    for message in _turns_backwards(request):
        text = _turn_text(message)
        is_user = message.get("role") == "user"
        question.append(text if not question else _cap(text, EARLIER_TURN_CHARACTERS))
        if (is_user and not _refers_back(text)) or len(question) > EARLIER_TURNS:
            break
    return "\n".join(reversed(question))


def task_key(request: ChatRequest) -> str | None:
    """What kind of job this is: the client's own word, else a hash of system prompt and tools.

    Numbers are left out of the hash, so that a date in the prompt does not make a new task daily.
    None where there is nothing to tell tasks apart by.
    """
    own = request.extension.task
    if own:
        return own if len(own) <= TASK_CHARACTERS else _digest(own.encode())
    prompts = [text_of(m) for m in request.messages if m.get("role") in {"system", "developer"}]
    tools = sorted(str((tool.get("function") or tool).get("name")) for tool in request.tools)
    if not any(prompts) and not tools:
        return None
    return _digest(orjson.dumps([re.sub(r"\d+", "0", "\n".join(prompts)), tools]))


def features(request: ChatRequest) -> dict[str, float]:
    """Cheap facts about a request, for its record."""
    kinds = [part.get("type") for message in request.messages for part in parts(message)]
    return {
        "characters": float(sum(len(text_of(message)) for message in request.messages)),
        "turns": float(sum(message.get("role") == "user" for message in request.messages)),
        "tools": float(len(request.tools)),
        "wants_json": float(request.wants_json),
        "images": float(kinds.count("image_url")),
    }


_MARKERS = {"image_url": "[image]", "input_audio": "[audio]", "file": "[file]"}
_REFERRING = re.compile(
    r"^\W*(and|but|also|or|so|then|now|again|continue|go on|what about|how about|why|yes|no|ok"
    r"|okay|thanks|same|that)\b|\b(it|its|this|these|those|them|they|above|previous|instead)\b",
    re.IGNORECASE,
)


def _turns_backwards(request: ChatRequest) -> Iterator[Json]:
    """The user turns and the answers between them, from the last user turn back."""
    asked = False
    for message in reversed(request.messages):
        role = message.get("role")
        asked = asked or role == "user"
        if asked and role in {"user", "assistant"} and _turn_text(message):
            yield message


def _turn_text(message: Json) -> str:
    """The text of a turn, with a marker for whatever is not text."""
    pieces = [
        _MARKERS.get(str(part.get("type")), str(part.get("text") or "")) for part in parts(message)
    ]
    return "\n".join(pieces).strip()


def _refers_back(text: str) -> bool:
    short = len(text) < 25 or len(text.split()) < 4  # noqa: PLR2004 - named by what they bound
    return short or (len(text) < 80 and _REFERRING.search(text) is not None)  # noqa: PLR2004


def _cap(text: str, characters: int) -> str:
    """The text, without its middle where it is too long: tasks stand at either end."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]}\n{text[-half:]}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class StaticEmbedder:
    """The mean of fixed token vectors: no network of layers, so no time to speak of.

    Source: WordLlama `l2_supercat`, 256 dimensions; only its data files are read.
    """

    def __init__(self) -> None:
        self._matrix, self._tokenizer, version = _wordllama()
        self.dimension = int(self._matrix.shape[1])
        self.tag = f"wordllama-l2-supercat@{version}/{self.dimension}"

    async def embed(self, text: str) -> Vector | None:
        """The text's vector; runs inline, 0.03 ms for a short text and 3 ms for the longest."""
        if not text.strip():
            return None
        try:
            tokens = self._tokenizer.encode(_cap(text, TEXT_CHARACTERS), add_special_tokens=False)
        except (TypeError, ValueError) as exc:
            raise EmbedderError("the question is not valid Unicode text") from exc
        if not tokens.ids:
            return None
        return _unit(self._matrix[tokens.ids].mean(axis=0, dtype=np.float32))


@cache
def _wordllama() -> tuple[npt.NDArray[np.float32], Tokenizer, str]:
    """The weights, the tokenizer, and a digest of both; read once a process, as they never change.

    Shape: (tokens, dimension), float32: 32 MB instead of the file's 16, for a quarter of the time.
    """
    weights, text = (path.read_bytes() for path in _wordllama_files())
    matrix = load(weights)["embedding.weight"].astype(np.float32)
    tokenizer = Tokenizer.from_buffer(text)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    version = _digest(hashlib.sha256(weights).digest() + hashlib.sha256(text).digest())
    return matrix, tokenizer, version


def _wordllama_files() -> tuple[Path, Path]:
    """Where the weights and the tokenizer are; importing the package would set up its logging."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise SettingsError("embedder: the package wordllama is missing; install autoshift again")
    package = Path(spec.origin).parent
    return (
        package / "weights" / "l2_supercat_256.safetensors",
        package / "tokenizers" / "l2_supercat_tokenizer_config.json",
    )


class FastEmbedEmbedder:
    """A transformer run by `fastembed` on ONNX: a model of its list, or the files in `path`.

    One thread a text and two texts at a time, so that embedding leaves the machine to serving.
    """

    def __init__(self, model: str, path: Path | None = None) -> None:
        self._model = _load_fastembed(model, path)
        self._limiter = CapacityLimiter(2)
        self.dimension = len(self._embed("dimension"))
        version = f"@{_digest(_onnx_file(path).read_bytes())}" if path else ""
        self.tag = f"fastembed-{model}{version}/{self.dimension}"

    async def embed(self, text: str) -> Vector | None:
        """The text's vector, made in a thread: milliseconds for a line, 100 ms for a page."""
        if not text.strip():
            return None
        return _unit(
            await to_thread.run_sync(
                self._embed,
                _cap(text, TEXT_CHARACTERS),
                limiter=self._limiter,
                abandon_on_cancel=True,
            )
        )

    def _embed(self, text: str) -> Vector:
        try:
            (vector,) = self._model.embed([text])
        except Exception as exc:
            raise EmbedderError(f"the embedding model failed: {type(exc).__name__}") from exc
        return np.asarray(vector, dtype=np.float32)


def _load_fastembed(model: str, path: Path | None) -> "TextEmbedding":
    from fastembed import TextEmbedding  # noqa: PLC0415 - 1 s, and only this embedder needs it
    from loguru import logger as fastembed_logger  # noqa: PLC0415

    fastembed_logger.disable("fastembed")  # its lines are not JSON, and the errors below say it all
    known = {entry["model"].lower() for entry in TextEmbedding.list_supported_models()}
    if path is None and model.lower() not in known:
        raise SettingsError(
            f"embedder.model: fastembed does not know {model!r}; "
            "name a model of its list, or give a directory in embedder.path"
        )
    if path is not None and model.lower() not in known:
        _register(model, path)
    try:
        return TextEmbedding(
            model,
            threads=1,
            providers=["CPUExecutionProvider"],
            local_files_only=True,
            specific_model_path=str(path) if path else None,
        )
    except Exception as exc:
        place = f"in {path}" if path else "in fastembed's cache"
        raise SettingsError(
            f"embedder: {model!r} cannot be loaded: its files are not {place}, or are broken; "
            "nothing is downloaded at run time, so put them there or use kind: static"
        ) from exc


def _register(model: str, path: Path) -> None:
    """Make a model that fastembed does not know known to it: mean pooling, length 1."""
    from fastembed import TextEmbedding  # noqa: PLC0415
    from fastembed.common.model_description import ModelSource, PoolingType  # noqa: PLC0415

    TextEmbedding.add_custom_model(
        model,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=model),
        dim=0,  # nobody reads it: the dimension is measured
        model_file=str(_onnx_file(path).relative_to(path)),
    )


def _onnx_file(path: Path) -> Path:
    """The model's file in this directory."""
    files = sorted(path.glob("*.onnx")) + sorted(path.glob("onnx/*.onnx"))
    if not files:
        raise SettingsError(f"embedder.path: there is no .onnx file in {path}")
    return files[0]


def _unit(vector: Vector) -> Vector:
    """The vector at length 1. Errors: EmbedderError where it has no direction."""
    length = float(np.linalg.norm(vector))
    if not (length > 0 and math.isfinite(length)):
        raise EmbedderError(f"the embedding model gave a vector of length {length}")
    return vector / np.float32(length)
