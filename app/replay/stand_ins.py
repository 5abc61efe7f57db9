"""What stands in for the world in a replay: time, providers and a judge that were recorded."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from math import log
from typing import Protocol

from app.answers import Answer
from app.embedder import Embedder
from app.errors import UpstreamBrokenError
from app.extension import Extension
from app.jsontext import Json
from app.judge import Better, Comparison
from app.records import Vector, Verdict
from app.replay.recordings import RecordedAnswer, Recording
from app.tiers import Tier
from app.wire import ChatRequest

START_S = 1_700_000_000.0
NOTHING_RECORDED = "(no text was recorded)"


@dataclass(frozen=True, slots=True)
class ReplayRequest(ChatRequest):
    """A request that knows the recording it was made from; no policy ever sees a request."""

    recording: Recording


def request_of(recording: Recording) -> ReplayRequest:
    """The question as a client would have asked it; its context as the system's prompt."""
    messages: list[Json] = [{"role": "user", "content": recording.query}]
    if recording.context:
        messages.insert(0, {"role": "system", "content": recording.context})
    return ReplayRequest(
        body={"model": "auto", "messages": messages},
        model="auto",
        messages=messages,
        stream=False,
        include_usage=False,
        extension=Extension(),
        recording=recording,
    )


class ReplayClock:
    """A clock that only recorded latencies move."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0

    def time_s(self) -> float:
        """Unix time, from an arbitrary start."""
        return START_S + self._elapsed_s

    def monotonic_s(self) -> float:
        """Seconds since the start."""
        return self._elapsed_s

    def advance(self, latency_s: float) -> None:
        self._elapsed_s += latency_s


class CachedEmbedder:
    """Every text is embedded once, however many runs ask for it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, Vector | None] = {}

    @property
    def tag(self) -> str:
        return self._embedder.tag

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def embed(self, text: str) -> Vector | None:
        """As the protocol says."""
        if text not in self._vectors:
            self._vectors[text] = await self._embedder.embed(text)
        return self._vectors[text]


class RecordedGenerator:
    """Answers as the tier's model did when it was recorded."""

    def __init__(self, clock: ReplayClock) -> None:
        self._clock = clock

    async def generate(
        self, tier: Tier, request: ChatRequest, tenant: str
    ) -> AsyncGenerator[Json, None]:
        """One whole completion. Errors: UpstreamBrokenError for what was not recorded."""
        answer = recording_of(request).sample_of(tier.model, request.sample)
        if answer is None:
            raise UpstreamBrokenError(f"{tier.model} has no recorded answer to this question")
        self._clock.advance(answer.latency_s)
        usage = answer.usage
        yield {
            "object": "chat.completion",
            "model": tier.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": said(answer)},
                    "logprobs": _logprobs(answer.margin),
                    "finish_reason": "stop",
                }
            ],
            "usage": usage
            and {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens},
        }


def _logprobs(margin: float | None) -> Json | None:
    """One token of this margin; None where none was recorded."""
    if margin is None:
        return None
    words = [{"logprob": log(max(chance, 1e-9))} for chance in ((1 + margin) / 2, (1 - margin) / 2)]
    return {"content": [{"top_logprobs": words}]}


def said(answer: RecordedAnswer) -> str:
    """The text as the loop gets it.

    Who abstains says nothing, which the exact checks refuse, so it escalates without a judge. A
    recorded final answer stands at the end, where the gateway's own extraction looks for it.
    """
    if answer.abstained:
        return ""
    if answer.answer is None or not answer.answer.strip():
        return answer.text if answer.text.strip() else NOTHING_RECORDED
    return f"{answer.text}\n\nThe answer is: {' '.join(answer.answer.split())}"


def recording_of(request: ChatRequest) -> Recording:
    """Errors: TypeError for a request that was not made by `request_of`."""
    if not isinstance(request, ReplayRequest):
        raise TypeError("a stand-in was asked about a request that is not a recording's")
    return request.recording


class VerdictSource(Protocol):
    """Whoever knows what a judge says of a recorded answer."""

    def verdict(self, recording: Recording, model: str, by: Tier) -> Verdict:
        """What `by` says of this model's answer; `valid` is None where nothing is known."""
        ...

    def samples(self, recording: Recording, model: str, by: Tier, count: int) -> Verdict:
        """What so many words of `by` come to; `confidence` is the share that accept."""
        ...


class RecordedVerdicts:
    """What the recorded judge said, whichever tier the policy names: there is no other word."""

    def verdict(self, recording: Recording, model: str, by: Tier) -> Verdict:
        """As the protocol says."""
        recorded = recording.answers[model].judge
        if recorded is None:
            return Verdict(valid=None, by=by.name, reason="no recorded verdict")
        return Verdict(
            valid=recorded.valid,
            by=by.name,
            cost_usd=recorded.cost_usd,
            latency_s=recorded.latency_s,
        )

    def samples(self, recording: Recording, model: str, by: Tier, count: int) -> Verdict:
        """One word was recorded: it stands for all, as sure as it can be."""
        word = self.verdict(recording, model, by)
        return word if word.valid is None else replace(word, confidence=float(word.valid))


class ReplayJudge:
    """Judges as a source of verdicts says, taking the time it took."""

    def __init__(self, verdicts: VerdictSource, clock: ReplayClock) -> None:
        self._verdicts = verdicts
        self._clock = clock

    async def judge(self, by: Tier, request: ChatRequest, answer: Answer) -> Verdict:
        """As the protocol says."""
        verdict = self._verdicts.verdict(recording_of(request), answer.model or "", by)
        self._clock.advance(verdict.latency_s)
        return verdict

    async def verify(self, by: Tier, request: ChatRequest, answer: Answer, samples: int) -> Verdict:
        """What the source has of such words: as many as are asked for, or one."""
        model = answer.model or ""
        verdict = self._verdicts.samples(recording_of(request), model, by, samples)
        self._clock.advance(verdict.latency_s)
        return verdict

    async def compare(
        self, by: Tier, request: ChatRequest, first: Answer, second: Answer
    ) -> Comparison:
        """What the same judge's words on each answer come to; nothing where one is missing."""
        recording = recording_of(request)
        words = [self._verdicts.verdict(recording, a.model or "", by) for a in (first, second)]
        costs_usd = [word.cost_usd or 0.0 for word in words]
        better: Better | None = None
        if None not in {word.valid for word in words}:
            better = _BETTER[bool(words[0].valid), bool(words[1].valid)]
        latency_s = max(word.latency_s for word in words)
        self._clock.advance(latency_s)
        return Comparison(
            by.name,
            better,
            reason="" if better else "no recorded verdict",
            cost_usd=max(costs_usd) if better else 0.0,
            latency_s=latency_s,
        )


_BETTER: dict[tuple[bool, bool], Better] = {
    (True, False): "first",
    (False, True): "second",
    (True, True): "tie",
    (False, False): "tie",
}
