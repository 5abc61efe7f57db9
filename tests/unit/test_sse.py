"""Server-sent events, in every form that providers send them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamBrokenError
from app.upstreams.sse import EVENT_BYTES, SseDecoder


def read(stream: bytes, *cuts: int) -> list[bytes]:
    """The events of a stream that arrives cut at these places."""
    decoder = SseDecoder()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [stream[begin:end] for begin, end in pairwise(places)]
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="plain"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"], id="crlf"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="cr"),
        pytest.param(b"data:a\n\n", [b"a"], id="no space"),
        pytest.param(b"data:  a\n\n", [b" a"], id="one space is the format's, more are data"),
        pytest.param(b"data: {\ndata: }\n\n", [b"{\n}"], id="several lines"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="byte-order mark"),
        pytest.param(b"data: a\n\ndata: [DONE]", [b"a", b"[DONE]"], id="no last blank line"),
        pytest.param(b"data: [DONE]\r", [b"[DONE]"], id="cut inside the last line's end"),
        pytest.param(b": ping\n\ndata: a\n\n", [b"a"], id="comment"),
        pytest.param(b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"], id="other fields"),
        pytest.param(b"database: a\ndata\n\n", [], id="only the field named data"),
        pytest.param(b"<html>\n<p>data: a</p>\n</html>", [], id="not events at all"),
        pytest.param(b"", [], id="nothing"),
    ],
)
@given(cuts=st.lists(st.integers(min_value=0, max_value=1000), max_size=6))
def test_an_event_is_the_same_however_the_stream_is_cut(
    stream: bytes, events: list[bytes], cuts: list[int]
) -> None:
    assert read(stream, *cuts) == events


@given(
    texts=st.lists(st.text(min_size=1).map(lambda text: text.translate({10: "n", 13: "r"}))),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(min_value=0), max_size=8),
)
def test_any_text_comes_through(texts: list[str], ending: str, cuts: list[int]) -> None:
    stream = "".join(f"data: {text}{ending}{ending}" for text in texts).encode()
    assert read(stream, *cuts) == [text.encode() for text in texts]


def test_an_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    piece = b"data: " + b"x" * (1024 * 1024) + b"\n"
    with pytest.raises(UpstreamBrokenError, match="8 MiB"):
        feed_all([piece] * (EVENT_BYTES // len(piece) + 2))


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(UpstreamBrokenError, match="8 MiB"):
        feed_all([b"x" * (1024 * 1024)] * 9)


def feed_all(pieces: list[bytes]) -> None:
    decoder = SseDecoder()
    for piece in pieces:
        decoder.feed(piece)
