"""Prompts for a warm-up: every form of a file, and which of them are asked."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.errors import RequestError, SettingsError
from app.tiers import Price, Tier, TierLadder
from app.warmup.prompts import Prompts, read_prompts
from app.wire import ChatRequest

LADDER = TierLadder(
    tuple(
        Tier(
            name=name,
            provider="p",
            model=f"model-{name}",
            prior=0.5,
            price=Price(input=1, output=4),
        )
        for name in ("small", "large")
    )
)
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def read(path: Path, *, most: int = 100) -> Prompts:
    return read_prompts(path, lambda _: LADDER, most=most)


def written(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def bodies(found: Prompts) -> list[dict[str, object]]:
    return sorted((prompt.request.body for prompt in found.chosen), key=str)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_json_lines_hold_prompts_messages_or_whole_requests(tmp_path: Path) -> None:
    file = written(
        tmp_path / "prompts.jsonl",
        [
            {"prompt": "a", "temperature": 0, "id": 7, "source": "web"},
            {"messages": user("b"), "max_tokens": 9, "stream": True, "model": "gpt-4o"},
            {
                "custom_id": "1",
                "url": "/v1/chat/completions",
                "body": {"messages": user("c"), "x": 1},
            },
        ],
    )
    found = read(file)
    assert bodies(found) == sorted(
        [
            {"model": "auto", "messages": user("a"), "temperature": 0},
            {"model": "auto", "messages": user("b"), "max_tokens": 9},
            {"model": "auto", "messages": user("c"), "x": 1},
        ],
        key=str,
    )
    assert not any(prompt.request.stream for prompt in found.chosen)
    assert found.ignored == {"id", "source"}
    assert (found.lines, found.distinct) == (3, 3)


@pytest.mark.parametrize("name", ["prompts.txt", "prompts"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_text_file_has_one_prompt_a_line(tmp_path: Path, name: str, packed: bool) -> None:
    raw = "\ufeffWhat is 2 + 2?\n\n  Why {not}?\r\n".encode()
    file = tmp_path / (f"{name}.gz" if packed else name)
    file.write_bytes(gzip.compress(raw) if packed else raw)
    assert bodies(read(file)) == [
        {"model": "auto", "messages": user("What is 2 + 2?")},
        {"model": "auto", "messages": user("Why {not}?")},
    ]


def test_a_text_file_may_begin_with_a_brace(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("{x} is what?\n", encoding="utf-8")
    assert bodies(read(file)) == [{"model": "auto", "messages": user("{x} is what?")}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"prompt": "a"}\n{"prompt": \n', "line 2: it is not valid JSON"),
        (b'{"prompt": "a"}\n\n[1]\n', "line 3: not a JSON object"),
        (b'{"prompt": 3}\n', "line 1: prompt must be a text"),
        (b'{"question": "a"}\n', "line 1: has neither prompt nor messages"),
        (b'{"messages": []}\n', "line 1: messages is empty"),
        (b'{"messages": [{"role": "king", "content": "a"}]}\n', r"line 1: messages\[0\].role"),
        (b'{"prompt": "a", "temperature": 9}\n', "line 1: temperature"),
        (b'{"body": {"input": "a"}}\n', "line 1: messages is missing"),
        (b"\n\n", "no prompts"),
        (b"\x1f\x8b\x08 and so on", "damaged gzip"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        read(file)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"fine\n\xff\xfe\n")
    with pytest.raises(SettingsError, match="line 2: not UTF-8"):
        read(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tools": [TOOL]}, "tools are not called"),
        ({"n": 2}, "cannot be judged"),
        ({"autoshift": {"learn": False}}, "nothing shall be learned"),
        ({"autoshift": {"explore": False}}, "nothing shall be learned"),
        ({"messages": user("   ")}, "no text"),
    ],
)
def test_what_could_teach_nothing_is_not_asked(
    tmp_path: Path, more: dict[str, object], why: str
) -> None:
    lines: list[object] = [{"messages": user("a")}, {"messages": user("b"), **more}]
    found = read(written(tmp_path / "prompts.jsonl", lines))
    assert [prompt.request.messages for prompt in found.chosen] == [user("a")]
    ((reason, count),) = found.left_out.items()
    assert why in reason
    assert count == 1


def test_a_prompt_for_fewer_than_two_tiers_is_not_asked(tmp_path: Path) -> None:
    file = written(tmp_path / "prompts.jsonl", [{"prompt": "one"}, {"prompt": "none"}])

    def narrow(request: ChatRequest) -> TierLadder:
        if "none" in str(request.messages):
            raise RequestError("no tier supports this")
        return LADDER.only(frozenset({"large"}))

    found = read_prompts(file, narrow, most=9)
    assert found.chosen == []
    assert found.left_out == {"only one tier can serve it": 1, "no tier can serve it": 1}


def test_the_sample_is_of_distinct_prompts_the_same_each_time_and_grows(tmp_path: Path) -> None:
    lines = [{"prompt": f"question {number % 50}"} for number in range(150)]
    file = written(tmp_path / "prompts.jsonl", lines)
    found = read(file, most=20)
    keys = [prompt.key for prompt in found.chosen]
    assert (found.lines, found.distinct, len(set(keys))) == (150, 50, 20)
    assert [prompt.key for prompt in read(file, most=20).chosen] == keys
    other_order = written(tmp_path / "reversed.jsonl", lines[::-1])
    assert [prompt.key for prompt in read(other_order, most=20).chosen] == keys
    assert [prompt.key for prompt in read(file, most=30).chosen][:20] == keys
    asked = {int(str(p.request.messages[0]["content"]).split()[1]) for p in found.chosen}
    assert asked != set(range(20))


def test_a_prompt_is_known_again_until_a_model_changes(tmp_path: Path) -> None:
    file = written(tmp_path / "prompts.jsonl", [{"prompt": "a"}])
    (before,) = read(file).chosen
    assert before.request.extension.conversation == before.key
    assert "autoshift" not in before.request.body
    small, large = LADDER
    newer = TierLadder((small, large.model_copy(update={"model": "newer"})))
    (after,) = read_prompts(file, lambda _: newer, most=1).chosen
    assert after.key != before.key
