"""The simulated models' tokens: how long a text is, and where it can be cut."""

import re
from collections.abc import Iterator

from app.jsontext import dump_json
from app.wire import ChatRequest, parts, text_of

_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
_A_MESSAGE = 4
_AN_IMAGE = 85


def tokens_of(text: str) -> list[str]:
    """The text in tokens; joined they are the text."""
    return _TOKEN.findall(text)


def token_count(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def pieces(text: str, tokens: int = 4) -> Iterator[str]:
    """The text in pieces of a few tokens, as a stream brings it."""
    found = tokens_of(text)
    for start in range(0, len(found), tokens):
        yield "".join(found[start : start + tokens])


def prompt_token_count(request: ChatRequest) -> int:
    """The prompt's length: calls, tools, response format and images included."""
    texts = [text_of(message) for message in request.messages]
    extras = [request.body.get(key) for key in ("tools", "response_format")]
    extras += [message.get("tool_calls") for message in request.messages]
    texts += [dump_json(extra).decode() for extra in extras if extra]
    sent = [part for message in request.messages for part in parts(message)]
    images = len([part for part in sent if part.get("type") == "image_url"])
    messages = len(request.messages)
    return sum(map(token_count, texts)) + _A_MESSAGE * messages + _AN_IMAGE * images
