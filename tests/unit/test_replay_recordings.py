"""Recordings: what is read from a file, what is refused, and the ladder made from it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from app.errors import SettingsError
from app.records import Usage
from app.replay.ladders import build_tiers, choose_models, ladder_for
from app.replay.recordings import read_recordings, with_all
from tests.support.recordings import MODELS, Json, four, recordings


def written(path: Path, *lines: Json | bytes) -> Path:
    raw = [each if isinstance(each, bytes) else orjson.dumps(each) for each in lines]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


def test_plain_and_compressed_files_are_read_in_order(tmp_path: Path) -> None:
    first, second, *rest = four()
    plain = written(tmp_path / "a.jsonl", first, b"", second)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\n".join(orjson.dumps(each) for each in rest)))

    read = read_recordings([plain, packed])

    assert [recording.id for recording in read] == ["q0", "q1", "q2", "q3"]
    assert read[0].answers["small"].usage == Usage(100, 50)
    verdicts = [recording.answers["medium"].judge for recording in read]
    assert [judge and judge.valid for judge in verdicts] == [True, True, True, False]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(
            lambda line: line["answers"]["small"].pop("cost_usd"),
            "line 2: answers.small.cost_usd is missing",
            id="no cost",
        ),
        pytest.param(
            lambda line: line["answers"]["small"].pop("correct"),
            "line 2: answers.small.correct is missing",
            id="no grade",
        ),
        pytest.param(lambda line: line.pop("query"), "line 2: query is missing", id="no question"),
        pytest.param(lambda line: line.pop("answers"), "line 2: answers is missing", id="none"),
        pytest.param(
            lambda line: line["answers"]["small"].update(cost_usd=-1),
            "line 2: answers.small.cost_usd: Input should be greater than or equal to 0",
            id="a cost under 0",
        ),
        pytest.param(lambda line: line.update(id="q0"), "the id 'q0' is there already", id="twice"),
    ],
)
def test_a_malformed_line_is_named_with_what_is_wrong(
    tmp_path: Path, spoil: Callable[[Json], object], said: str
) -> None:
    first, second, *_ = four()
    spoil(second)
    path = written(tmp_path / "bad.jsonl", first, second)

    with pytest.raises(SettingsError, match=r"bad\.jsonl, line 2") as refused:
        read_recordings([path])

    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_what_is_no_recording_at_all_is_refused_in_one_line(tmp_path: Path) -> None:
    cases = {
        "not JSON": written(tmp_path / "a.jsonl", b"{nonsense"),
        "no recordings": written(tmp_path / "b.jsonl", b""),
        "damaged gzip": written(tmp_path / "c.gz", gzip.compress(b"x" * 100)[:-12]),
        "cannot be read": tmp_path / "missing.jsonl",
    }
    for said, path in cases.items():
        with pytest.raises(SettingsError, match=said) as refused:
            read_recordings([path])
        assert str(path) in refused.value.message


def test_without_names_the_ladder_rises_by_mean_cost() -> None:
    lines = four()
    for each in lines:
        each["answers"] = dict(reversed(each["answers"].items()))

    assert choose_models(recordings(lines), []) == MODELS
    assert choose_models(recordings(lines), ["large", "small"]) == ("large", "small")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (["small", "huge"], "'huge' is not recorded; there are large, medium, small"),
        (["small", "small"], "a name is given twice"),
        (["small"], "a ladder has 2 to 6 tiers, not 1"),
    ],
)
def test_an_impossible_ladder_is_refused(wanted: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        choose_models(recordings(four()), wanted)


def test_questions_that_a_tier_did_not_answer_are_left_out() -> None:
    lines = four()
    del lines[1]["answers"]["medium"]
    every = recordings(lines)

    assert [recording.id for recording in with_all(every, MODELS)] == ["q0", "q2", "q3"]
    assert len(with_all(every, ["small", "large"])) == 4
    with pytest.raises(SettingsError, match="no question was answered by all of medium"):
        with_all(every[1:2], ["medium"])


def test_priors_are_spaced_evenly_and_never_computed_from_the_grades() -> None:
    flipped = four()
    for each in flipped:
        for given in each["answers"].values():
            given["correct"] = not given["correct"]

    for lines in (four(), flipped):
        tiers = build_tiers(recordings(lines), MODELS, ())
        assert [tier.prior for tier in tiers] == pytest.approx([0.6, 0.75, 0.9])
    assert [t.prior for t in build_tiers(recordings(four()), MODELS, (0.1, 0.2, 0.3))] == [
        0.1,
        0.2,
        0.3,
    ]
    with pytest.raises(SettingsError, match="give 3 numbers"):
        build_tiers(recordings(four()), MODELS, (0.5, 0.6))


def test_a_recorded_answer_costs_what_it_cost_and_a_guess_the_list_price() -> None:
    lines = four()
    for number, each in enumerate(lines):
        # 1 USD per million tokens in, 10 out; the last one was dearer than its tokens tell.
        tokens = (100 * (number + 1), 50 + number**2)
        dearer = 1e-3 if number == 3 else 0.0
        each["answers"]["small"] |= {
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "cost_usd": (tokens[0] + 10 * tokens[1]) / 1e6 + dearer,
        }
    exact = recordings(lines[:3])
    tiers = build_tiers(exact, MODELS, ())

    price = tiers[0].price
    assert price is not None
    assert (price.input, price.output) == pytest.approx((1, 10))
    dear = recordings(lines)[3]
    tier = ladder_for(dear, tiers)["small"]
    usage = dear.answers["small"].usage
    assert usage is not None
    assert tier.cost_usd(usage) == dear.answers["small"].cost_usd
    assert tier.cost_usd(Usage(1000, 100)) == pytest.approx(0.002)
    assert tier.cost_usd(None) is None
