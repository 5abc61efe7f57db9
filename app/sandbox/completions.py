"""Replies as OpenAI writes them: one completion, or the chunks of a stream.

Source: openai/openai-openapi, `CreateChatCompletionResponse` and its stream variant.
"""

import time
from collections.abc import Iterator, Sequence

from app.jsontext import Json
from app.sandbox.calls import ToolCall
from app.sandbox.replies import Reply
from app.sandbox.tokens import pieces, prompt_token_count, tokens_of
from app.wire import ChatRequest


def completion(identity: str, asked: ChatRequest, replies: Sequence[Reply]) -> Json:
    """The plain reply: one choice for each of the replies."""
    choices = [
        {
            "index": index,
            "message": _message(reply),
            "logprobs": _logprobs(asked, reply, reply.text),
            "finish_reason": reply.finish_reason,
        }
        for index, reply in enumerate(replies)
    ]
    head = _head(identity, asked, "chat.completion")
    return {**head, "choices": choices, "usage": _usage(asked, replies)}


def chunks(identity: str, asked: ChatRequest, replies: Sequence[Reply]) -> Iterator[Json]:
    """The chunks of a stream: one choice after the other, then the usage if it was asked for."""
    head = _head(identity, asked, "chat.completion.chunk")
    for index, reply in enumerate(replies):
        for choice in _choice_chunks(asked, reply):
            yield {**head, "choices": [{"index": index, **choice}]}
    if asked.include_usage:
        yield {**head, "choices": [], "usage": _usage(asked, replies)}


def _choice_chunks(asked: ChatRequest, reply: Reply) -> Iterator[Json]:
    """One choice's chunks, without its index: role, pieces of text or of tool calls, the end."""
    yield _choice({"role": "assistant", "content": None if reply.tool_calls else ""})
    for piece in pieces(reply.text):
        yield _choice({"content": piece}, _logprobs(asked, reply, piece))
    for position, call in enumerate(reply.tool_calls):
        opening = {**_call(call), "index": position}
        opening["function"] = {"name": call.name, "arguments": ""}
        yield _choice({"tool_calls": [opening]})
        for piece in pieces(call.arguments):
            delta = {"index": position, "function": {"arguments": piece}}
            yield _choice({"tool_calls": [delta]})
    yield {**_choice({}), "finish_reason": reply.finish_reason}


def _choice(delta: Json, logprobs: Json | None = None) -> Json:
    return {"delta": delta, "logprobs": logprobs, "finish_reason": None}


def _message(reply: Reply) -> Json:
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message["content"] = None
        message["tool_calls"] = [_call(call) for call in reply.tool_calls]
    return message


def _call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _logprobs(asked: ChatRequest, reply: Reply, text: str) -> Json | None:
    """Every token's logprob, where they were asked for; of the alternatives only itself."""
    if not asked.body.get("logprobs"):
        return None
    alternatives = min(asked.body.get("top_logprobs") or 0, 1)
    content = []
    for token in tokens_of(text):
        said = {"token": token, "logprob": reply.logprob, "bytes": list(token.encode())}
        content.append({**said, "top_logprobs": [said] * alternatives})
    return {"content": content, "refusal": None}


def _usage(asked: ChatRequest, replies: Sequence[Reply]) -> Json:
    prompt_tokens = prompt_token_count(asked)
    completion_tokens = sum(reply.tokens for reply in replies)
    reasoning_tokens = sum(reply.reasoning_tokens for reply in replies)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
    }


def _head(identity: str, asked: ChatRequest, kind: str) -> Json:
    return {
        "id": identity,
        "object": kind,
        "created": int(time.time()),
        "model": asked.model,
        "system_fingerprint": "sandbox",
    }
