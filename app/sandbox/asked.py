"""What a chat request asks: its last user turn's text and picture, and what follows it."""

from collections.abc import Sequence

from app.jsontext import Json
from app.sandbox.pictures import read_data_url
from app.wire import ChatRequest, parts, text_of


def asked_text(request: ChatRequest) -> str:
    """The text of the last user turn."""
    return text_of(_last_user_turn(request))


def asked_picture(request: ChatRequest) -> str | None:
    """The last user turn's picture, as `pictures.py` writes it; None where none is of ours."""
    for part in parts(_last_user_turn(request)):
        image = part.get("image_url")
        if isinstance(image, dict) and isinstance(url := image.get("url"), str):
            return read_data_url(url)
    return None


def has_images(request: ChatRequest) -> bool:
    return any(
        part.get("type") == "image_url" for message in request.messages for part in parts(message)
    )


def tool_turns(request: ChatRequest) -> Sequence[Json]:
    """What came after the last user turn: calls and their results; empty where it is the user's."""
    turns = request.messages[_last_user_position(request) + 1 :]
    return turns if turns and turns[-1]["role"] == "tool" else ()


def _last_user_turn(request: ChatRequest) -> Json:
    return request.messages[_last_user_position(request)]


def _last_user_position(request: ChatRequest) -> int:
    users = [i for i, message in enumerate(request.messages) if message["role"] == "user"]
    return users[-1] if users else len(request.messages) - 1
