"""What a record keeps of the words themselves: of the question, and of the answer."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.answers import Answer, completion_of
from app.embedder import question_text
from app.jsontext import Json, dump_json
from app.wire import ChatRequest, parts

Kept: TypeAlias = Literal["none", "excerpt", "full", "exchange"]

EXCERPT_CHARACTERS = 500
EXAMPLE_BYTES = 64 * 1024
_TURN = ("role", "content", "name", "tool_calls", "tool_call_id")


@dataclass(frozen=True, slots=True)
class Texts:
    """As `records.text` has it."""

    kept: Kept = "none"

    def question(self, request: ChatRequest) -> str | None:
        """What is kept of the question, if anything."""
        if self.kept == "none":
            return None
        text = question_text(request)
        return text[:EXCERPT_CHARACTERS] if self.kept == "excerpt" else text

    def example(self, request: ChatRequest, answer: Answer) -> str | None:
        """The conversation and its answer, where all of it is kept."""
        return example_of(request, answer) if self.kept == "exchange" else None


NO_TEXTS = Texts()


def example_of(request: ChatRequest, answer: Answer) -> str | None:
    """The exchange as one line of a file to train a chat model with.

    None where it has pictures, sound or files, is over `EXAMPLE_BYTES`, or says nothing.
    Source: OpenAI, fine-tuning API, the chat format: `messages`, and `tools` if there are any.
    """
    kinds = {part.get("type") for message in request.messages for part in parts(message)}
    if not kinds <= {"text"} or not (answer.text or answer.tool_calls):
        return None
    (choice,) = completion_of(answer)["choices"]
    said = {**choice["message"], "content": answer.text or None}
    example: Json = {"messages": [_turn(message) for message in (*request.messages, said)]}
    if request.tools:
        example["tools"] = request.tools
    line = dump_json(example)
    return line.decode() if len(line) <= EXAMPLE_BYTES else None


def _turn(message: Json) -> Json:
    """The message with what that format knows; it calls a developer's message a system's."""
    turn = {key: message[key] for key in _TURN if message.get(key) is not None}
    if turn["role"] == "developer":
        turn["role"] = "system"
    return turn
