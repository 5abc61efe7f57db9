"""Chunks as lines that every reader takes: none too long, none with a separator inside."""

from collections.abc import Iterator

from app.jsontext import Json, dump_json

PIECE_CHARACTERS = 3_500
"""Four bytes each at the most, so that a line stays under 16 KiB: some readers have such limits."""

_SEPARATORS = tuple((mark.encode(), b"\\u%04x" % ord(mark)) for mark in "\u2028\u2029\x85")


def event_line(data: Json) -> bytes:
    """One server-sent event. Unicode's line separators are escaped: some readers split by them."""
    line = dump_json(data)
    if not line.isascii():
        for raw, escaped in _SEPARATORS:
            line = line.replace(raw, escaped)
    return b"data: " + line + b"\n\n"


def pieces(chunk: Json) -> Iterator[Json]:
    """The chunk, in several where its text or one tool call's arguments are long.

    Log probabilities belong to a chunk's exact text, so with them it stays whole.
    """
    if len(chunk["choices"]) != 1 or chunk["choices"][0].get("logprobs"):
        yield chunk
        return
    choice = chunk["choices"][0]
    delta = choice["delta"]
    calls = delta.get("tool_calls") or []
    content = delta.get("content") or ""
    arguments = (calls[0].get("function") or {}).get("arguments") or "" if len(calls) == 1 else ""
    if len(content) <= PIECE_CHARACTERS and len(arguments) <= PIECE_CHARACTERS:
        yield chunk
        return
    first_content, *more_content = _cut(content)
    first_arguments, *more_arguments = _cut(arguments)
    if more_content:
        delta = {**delta, "content": first_content}
    if more_arguments:
        function = {**calls[0]["function"], "arguments": first_arguments}
        delta = {**delta, "tool_calls": [{**calls[0], "function": function}]}
    deltas = [delta, *({"content": text} for text in more_content)]
    for text in more_arguments:
        call = {"index": calls[0]["index"], "function": {"arguments": text}}
        deltas.append({"tool_calls": [call]})
    for piece in deltas:
        yield {**chunk, "choices": [{**choice, "delta": piece}]}


def _cut(text: str) -> list[str]:
    starts = range(0, max(len(text), 1), PIECE_CHARACTERS)
    return [text[start : start + PIECE_CHARACTERS] for start in starts]
