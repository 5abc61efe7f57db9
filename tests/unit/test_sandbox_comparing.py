"""A simulated model that compares two answers: as often wrong, and as partial, as stated."""

import json
from math import sqrt

import pytest

from app.jsontext import Json
from app.judge.comparing import comparison_body, read_comparison
from app.sandbox.models import MODELS
from app.tiers import Tier
from tests.support.sandbox import answer, answers, sandbox
from tests.unit.test_llm_judge import request, says, user
from tests.unit.test_sandbox import PLAIN_ONES, right_answer, slip

pytestmark = pytest.mark.anyio

ASKED = PLAIN_ONES[:200]


def comparing(question: str, first: str, second: str, model: str) -> Json:
    """The request as the gateway's judge writes it."""
    tier = Tier(name="j", provider="sandbox", model=model, prior=0.5)
    return comparison_body(tier, request(user(question)), says(first), says(second), 500)


@pytest.mark.parametrize("name", list(MODELS))
async def test_pairs_are_called_the_same_as_often_as_stated(name: str) -> None:
    model = MODELS[name]
    cases = (
        (right_answer, right_answer, model.same_if_same),
        (slip, slip, model.same_if_same),
        (right_answer, slip, model.same_if_not),
    )
    async with sandbox() as http:
        for one, other, share in cases:
            requests = [comparing(q.text, one(q), f"It is {other(q)}", name) for q in ASKED]
            said = [json.loads(text) for text in await answers(http, requests)]
            spread = sqrt(share * (1 - share) / len(ASKED))
            same = sum(each["same"] for each in said) / len(ASKED)
            assert abs(same - share) < 4 * spread, (one, other)


@pytest.mark.parametrize("name", list(MODELS))
async def test_the_right_answer_wins_as_often_as_the_error_rates_say(name: str) -> None:
    model = MODELS[name]
    accepts, errs = model.valid_if_right, model.valid_if_wrong
    alike = accepts * errs + (1 - accepts) * (1 - errs)
    differ = 1 - model.same_if_not
    async with sandbox() as http:
        requests = [comparing(q.text, right_answer(q), slip(q), name) for q in ASKED]
        found = [read_comparison(text) for text in await answers(http, requests)]
    for better, share in (
        ("first", differ * (accepts * (1 - errs) + alike * model.first_if_alike)),
        ("second", differ * (1 - accepts) * errs),
    ):
        won = sum(each is not None and each[0] == better for each in found) / len(ASKED)
        assert abs(won - share) < 4 * sqrt(share * (1 - share) / len(ASKED)) + 0.005, better


async def test_what_it_cannot_solve_it_compares_by_its_words() -> None:
    async with sandbox() as http:
        asked = comparing("Who are you?", "Nobody.", "Nobody.", "sim-large")
        assert json.loads(await answer(http, asked)) == {"verdict": "TIE", "same": True}
