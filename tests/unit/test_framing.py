"""Chunks as lines that every reader takes."""

from typing import Any

import orjson
import pytest

from app.api.framing import event_line, pieces

LINE_BYTES = 16 * 1024


def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
    return {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}


def deltas(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [piece["choices"][0]["delta"] for piece in pieces(of)]


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀", '"', "\\"])
def test_a_long_text_is_cut_into_short_lines_and_stays_whole(letter: str) -> None:
    text = letter * 50_000
    made = list(pieces(chunk({"role": "assistant", "content": text, "reasoning": "why"})))
    assert all(len(event_line(piece)) <= LINE_BYTES for piece in made)
    said = [piece["choices"][0]["delta"] for piece in made]
    assert "".join(delta["content"] for delta in said) == text
    assert [delta.get("role") for delta in said] == ["assistant", *[None] * (len(said) - 1)]
    assert [delta.get("reasoning") for delta in said].count("why") == 1


def test_a_long_tool_call_names_its_id_once() -> None:
    call = {"index": 2, "id": "c", "type": "function", "function": {"name": "f"}}
    call["function"] = {"name": "f", "arguments": "x" * 9_000}
    said = [delta["tool_calls"][0] for delta in deltas(chunk({"tool_calls": [call]}))]
    assert "".join(made["function"]["arguments"] for made in said) == "x" * 9_000
    assert [made.get("id") for made in said] == ["c", None, None]
    assert [made["function"].get("name") for made in said] == ["f", None, None]
    assert {made["index"] for made in said} == {2}


def test_short_chunks_and_log_probabilities_stay_as_they_are() -> None:
    short = chunk({"content": "hi"})
    assert list(pieces(short)) == [short]
    exact = chunk({"content": "x" * 9_000}, logprobs={"content": []})
    assert list(pieces(exact)) in ([exact], [{**exact}])
    scored = chunk({"content": "x" * 9_000}, logprobs={"content": [{"token": "x"}]})
    assert list(pieces(scored)) == [scored]


def test_separators_of_lines_are_escaped_and_mean_the_same() -> None:
    text = "a\u2028b\u2029c\x85d"
    line = event_line(chunk({"content": text}))
    assert line.decode().splitlines() == [line.decode().strip(), ""]
    told = orjson.loads(line.removeprefix(b"data: "))
    assert told["choices"][0]["delta"]["content"] == text
