"""The sandbox's pictures: written, sent, seen by the models that see, and by no others."""

import base64
import binascii
import struct
import tracemalloc
import zlib

import pytest

from app.jsontext import Json
from app.sandbox.models import MODELS
from app.sandbox.pictures import data_url, read_data_url
from app.sandbox.questions import is_right, solve
from tests.support.sandbox import about, answer, answers, body, sandbox

pytestmark = pytest.mark.anyio

URL = data_url("r.b/.gg/yko")


def raw_png(url: str) -> bytes:
    return base64.b64decode(url.split(",")[1])


def as_url(raw: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(raw).decode()


def test_a_picture_comes_back_as_it_was() -> None:
    assert read_data_url(URL) == "r.b/.gg/yko"
    for question in about("vision"):
        assert question.picture is not None
        assert read_data_url(data_url(question.picture)) == question.picture


def test_a_picture_is_a_valid_png() -> None:
    raw, at = raw_png(URL), 8
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    kinds = []
    while at < len(raw):
        size, kind = struct.unpack_from(">I4s", raw, at)
        data = raw[at + 4 : at + 8 + size]
        assert struct.unpack_from(">I", raw, at + 8 + size)[0] == binascii.crc32(data)
        kinds.append(kind)
        at += size + 12
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack_from(">II", raw, 16) == (24, 24)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://example.com/squares.png",
        "data:image/jpeg;base64,AAAA",
        "data:image/png;base64,not base64",
        as_url(b""),
        as_url(b"GIF89a"),
        as_url(raw_png(URL)[:40]),
        as_url(raw_png(URL)[:-30]),
        as_url(raw_png(URL).replace(struct.pack(">II", 24, 24), struct.pack(">II", 24, 9999))),
        as_url(raw_png(URL).replace(struct.pack(">II", 24, 24), struct.pack(">II", 24, 240))),
        as_url(raw_png(URL).replace(bytes([8, 3, 0, 0, 0]), bytes([8, 2, 0, 0, 0]))),
    ],
)
def test_what_is_no_picture_of_ours_is_not_read(url: str) -> None:
    assert read_data_url(url) is None


def test_a_picture_that_unpacks_to_far_more_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    head = struct.pack(">IIBBBBB", 24, 24, 8, 3, 0, 0, 0)
    palette = raw_png(URL)[33:].split(b"PLTE")[1][:21]
    raw = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", bomb)):
        raw += struct.pack(">I", len(data)) + kind + data + b"\0\0\0\0"
    tracemalloc.start()
    try:
        assert read_data_url(as_url(raw)) == ".../.../..."
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["sim-medium", "sim-large"])
async def test_what_is_seen_is_answered_as_well_as_stated(name: str) -> None:
    asked, model = about("vision")[:200], MODELS[name]
    async with sandbox() as http:
        said = await answers(http, [q.body(name) for q in asked])
    right = sum(is_right(q, text) for q, text in zip(asked, said, strict=True))
    stated = [model.accuracy(q.topic, q.difficulty) for q in asked]
    assert abs(right - sum(stated)) < 4 * sum(p * (1 - p) for p in stated) ** 0.5 + 1


def test_the_answer_depends_on_the_picture() -> None:
    text = "Count the squares that are red in the picture. How many are there?"
    for picture, count in (("r.b/.gr", "2"), ("b.b/.gg", "0")):
        solved = solve(text, picture)
        assert solved is not None
        assert solved.solution.answer == count
    rows = "How many red squares does this picture of coloured squares show?"
    assert solve(rows) is None


async def test_a_model_that_does_not_see_refuses_a_picture() -> None:
    question = about("vision")[0]
    async with sandbox() as http:
        refused = await http.post("/v1/chat/completions", json=question.body("sim-small"))
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "image_content_not_supported"
    assert "sim-medium" in refused.json()["error"]["message"]


@pytest.mark.parametrize("image_url", [{"url": "https://example.com/cat.png"}, {}, "cat"])
async def test_a_foreign_picture_is_owned_up_to(image_url: object) -> None:
    content: list[Json] = [
        {
            "type": "text",
            "text": "How many red squares does this picture of coloured squares show?",
        },
        {"type": "image_url", "image_url": image_url},
    ]
    async with sandbox() as http:
        request = body("") | {"messages": [{"role": "user", "content": content}]}
        assert "no picture" in await answer(http, request)
