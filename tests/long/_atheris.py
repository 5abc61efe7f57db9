"""What atheris calls: bytes for the SSE reader, or for the verdict parser; a process of its own."""

import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["app.judge", "app.upstreams.sse"]):
    from app.judge.comparing import read_comparison
    from app.judge.llm import read_verdict
    from app.upstreams.sse import SseDecoder


def sse(data: bytes) -> None:
    """In whatever pieces bytes come, the events are the same; only our own errors are raised."""
    from app.errors import UpstreamError  # noqa: PLC0415

    whole, cut = [], []
    try:
        one = SseDecoder()
        whole = [*one.feed(data), *one.end()]
    except UpstreamError:
        return
    at = data[0] % (len(data) + 1) if data else 0
    two = SseDecoder()
    try:
        cut = [*two.feed(data[:at]), *two.feed(data[at:]), *two.end()]
    except UpstreamError:
        return
    assert whole == cut, (data, at)


def verdict(data: bytes) -> None:
    """Only the exact object is a verdict."""
    text = data.decode("utf-8", "surrogateescape")
    found = read_verdict(text)
    read_comparison(text)
    if found is not None:
        bare = "".join(text.split())
        assert "verdict" in bare or "\\u" in bare, text
        assert text.count(":") == 1, text


if __name__ == "__main__":
    atheris.Setup(sys.argv[:1] + sys.argv[2:], {"sse": sse, "verdict": verdict}[sys.argv[1]])
    atheris.Fuzz()
