"""The demo: its figures add up, its verdict has a sign, and it fits a terminal."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from io import StringIO
from itertools import count

import anyio
import anyio.lowlevel
import httpx
import pytest
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.errors import SettingsError, UpstreamConnectError
from app.jsontext import Json
from app.sandbox.config import sandbox_config
from app.sandbox.demo import run_demo
from app.sandbox.models import MODELS
from app.sandbox.provider import sandbox_app
from app.sandbox.questions import draw_questions
from app.sandbox.report import DemoReport
from app.sandbox.runs import Run, Served
from app.sandbox.screen import progress_bar, show
from app.serving import serving
from app.settings.configuration import load_settings

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def sandbox() -> AsyncGenerator[httpx.AsyncClient, None]:
    app = sandbox_app(delay_factor=0)
    async with serving(app) as up, httpx.AsyncClient(base_url=up.url, trust_env=False) as http:
        yield http


def test_the_sandbox_configuration_is_valid_and_names_the_simulated_models() -> None:
    settings = load_settings(sandbox_config())
    assert settings.simulated
    assert [tier.model for tier in settings.ladder] == list(MODELS)
    prices = [tier.price.output for tier in settings.ladder if tier.price]
    assert len(prices) == len(MODELS)
    assert prices == sorted(prices)


def scripted_gateway(provider: httpx.AsyncClient, *, answers: bool = True) -> Starlette:
    """A gateway that is always asked for small first, and goes to large every third time."""
    told: dict[str, Json] = {}
    asked_auto = count()

    async def chat(request: Request) -> Response:
        asked = await request.json()
        auto = asked["model"] == "auto"
        escalates = auto and next(asked_auto) % 3 == 0
        path = ["small" if auto else asked["model"], *(["large"] * escalates)]
        if not answers and auto:
            return JSONResponse({"error": {"message": "down"}}, 503)
        # What sim-small does not take, a picture, is answered all the same: this is only a script.
        shows_picture = isinstance(asked["messages"][0]["content"], list)
        model = "sim-large" if shows_picture else f"sim-{path[-1]}"
        reply = await provider.post("/v1/chat/completions", json=asked | {"model": model})
        identity, cost_usd = str(len(told)), 0.001 * len(path)
        told[identity] = {
            "cost_usd": cost_usd,
            "costs_usd": {"answer": 0.001, "draft": cost_usd - 0.001, "judge": 0.0},
            "attempts": [{"tier": tier, "verdicts": [{"by": "medium"}]} for tier in path],
            "served_tier": path[-1],
        }
        headers = {
            "x-autoshift-decision": identity,
            "x-autoshift-cost-usd": str(cost_usd),
            "x-autoshift-tier": path[-1],
        }
        return JSONResponse(reply.json(), headers=headers)

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": []})

    async def decision(request: Request) -> Response:
        return JSONResponse(told[request.path_params["identity"]])

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/decisions/{identity}", decision),
        ]
    )


async def test_the_demo_adds_up_and_tells_who_served_what() -> None:
    told: list[tuple[str, int, int]] = []
    async with sandbox() as http, serving(scripted_gateway(http)) as gateway:
        report = await run_demo(
            f"{gateway.url}/v1", questions=30, seed=7, progress=lambda *step: told.append(step)
        )
    assert told[29] == ("auto", 30, 30)
    assert len(told) == 4 * 30
    assert report.starts == {"small": 30, "medium": 0, "large": 0}
    assert report.served_by == {"small": 20, "medium": 0, "large": 10}
    assert report.auto.calls_per_question == pytest.approx(2 * (20 + 2 * 10) / 30)
    assert report.auto.usd_per_1000 == pytest.approx(1000 * (0.001 * 20 + 0.002 * 10) / 30)
    assert report.auto.purpose_usd_per_1000("draft") == pytest.approx(1000 * 0.001 * 10 / 30)
    assert report.escalated_example is not None
    assert report.escalated_example.path == ("small", "large")
    found = json.loads(report.to_json())
    assert found["simulated"] is True
    assert [block["auto"]["asked"] for block in found["blocks"]] == [10, 10, 10]
    small = MODELS["sim-small"]
    at_most = [
        question.picture
        or small.knows(7, question.text, small.accuracy(question.topic, question.difficulty))
        for question in draw_questions(30, seed=7)
    ]
    assert 0 < report.fixed[0].right <= sum(map(bool, at_most))


async def test_the_demo_counts_failed_requests_as_not_right_and_says_so() -> None:
    async with sandbox() as http, serving(scripted_gateway(http, answers=False)) as gateway:
        report = await run_demo(gateway.url, questions=5, seed=7, progress=lambda *_: None)
    assert (report.auto.failed, report.auto.accuracy) == (5, 0.0)
    assert report.auto.usd_per_1000 is None
    assert "5 of auto" in report.sentences()[-1]
    show(report, Console(width=80, quiet=True))


async def test_the_demo_says_where_no_gateway_answers() -> None:
    with pytest.raises(UpstreamConnectError, match="no gateway"):
        await run_demo("http://127.0.0.1:1", questions=1, seed=7, progress=lambda *_: None)


def test_hindsight_passes_over_the_tiers_that_could_not_take_a_question() -> None:
    cannot = Served(right=False, failed=True)
    lower = Run("small", (cannot, cannot, Served(right=False, cost_usd=0.001)))
    upper = Run(
        "large", (Served(right=True, cost_usd=0.004), cannot, Served(False, cost_usd=0.004))
    )
    report = DemoReport(7, upper, (lower, upper))
    assert report.hindsight_usd_per_1000() == pytest.approx((0.004 + 0.001) / 2 * 1000)
    assert "cannot take" in report.sentences()[-1]


def run_of(name: str, right: int, usd: float | None) -> Run:
    served = [Served(right=position < right, cost_usd=usd) for position in range(100)]
    return Run(name, tuple(served))


@pytest.mark.parametrize(
    ("auto_right", "auto_usd", "words"),
    [
        (80, 0.004, "A fixed tier would have been better: always large"),
        (75, 0.0029, "A coin would have been better: auto cost 16% more"),
        (75, 0.001, "Auto cost 60% less than the cheapest blind mixture"),
        (95, 0.001, "No fixed tier"),
    ],
)
def test_the_verdict_is_signed(auto_right: int, auto_usd: float, words: str) -> None:
    fixed = (run_of("small", 60, 0.001), run_of("large", 90, 0.004))
    report = DemoReport(7, run_of("auto", auto_right, auto_usd), fixed)
    assert words in report.sentences()[1]


def test_an_unknown_cost_is_unknown_and_never_nothing() -> None:
    fixed = (run_of("small", 60, 0.001), run_of("large", 90, None))
    report = DemoReport(7, run_of("auto", 80, None), fixed)
    assert report.auto.usd_per_1000 is None
    assert report.saving(report.fixed[-1].usd_per_1000) is None
    assert "unknown cost" in report.sentences()[0]


def test_the_gap_to_the_top_tier_is_paired_and_never_certain() -> None:
    fixed = (run_of("small", 60, 0.001), run_of("large", 90, 0.004))
    gap, interval = DemoReport(7, run_of("auto", 80, 0.001), fixed).accuracy_gap
    assert gap == pytest.approx(-0.1)
    assert (interval.low, interval.high) == pytest.approx((-0.1587, -0.0374), abs=1e-3)
    gap, interval = DemoReport(7, run_of("auto", 90, 0.001), fixed).accuracy_gap
    assert gap == 0
    assert interval.low < 0 < interval.high


def test_the_interval_is_wilsons() -> None:
    interval = run_of("auto", 90, 0.0).interval
    assert (interval.low, interval.high) == pytest.approx((0.8256, 0.9448), abs=1e-4)


def shown(report: DemoReport) -> list[str]:
    console = Console(width=80, record=True, file=StringIO())
    with progress_bar(console) as advance:
        advance("auto", 1, 1)
    show(report, console)
    return console.export_text().splitlines()


def test_the_screen_fits_80_columns_and_says_simulated() -> None:
    fixed = tuple(
        run_of(name, right, usd)
        for name, right, usd in (("small", 60, 0.001), ("medium", 80, 0.002), ("large", 95, 0.02))
    )
    lines = shown(DemoReport(7, run_of("auto", 90, 0.003), fixed))
    assert max(map(len, lines)) <= 80
    assert sum("simulated" in line.lower() for line in lines) > 4
    assert any("always medium" in line for line in lines)
    assert sum("A" in line and "." in line for line in lines) >= 10


async def test_a_taken_port_is_refused_with_the_way_out() -> None:
    async with serving(sandbox_app()) as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(SettingsError, match="choose another"):
            async with serving(sandbox_app(), port=port):
                await anyio.lowlevel.checkpoint()
