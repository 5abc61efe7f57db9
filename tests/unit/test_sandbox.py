"""The sandbox: its questions, its models' stated abilities, its wire, and the demo's arithmetic."""

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from math import sqrt

import anyio
import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.errors import SettingsError, UpstreamConnectError
from app.sandbox.config import sandbox_config
from app.sandbox.demo import run_demo
from app.sandbox.models import MODELS, SimModel
from app.sandbox.provider import sandbox_app
from app.sandbox.questions import DIFFICULTIES, TOPICS, Question, draw_questions, is_right, solve
from app.sandbox.report import DemoReport, Run, Served
from app.sandbox.screen import progress_bar, show
from app.serving import serving
from app.settings import load_settings
from app.wire import Json
from rich.console import Console

pytestmark = pytest.mark.anyio

MANY = draw_questions(3000, seed=11)
"""Enough for a few dozen questions of the rarest kind."""


@asynccontextmanager
async def sandbox(seed: int = 7) -> AsyncGenerator[httpx.AsyncClient, None]:
    app = sandbox_app(seed=seed, delay_factor=0)
    async with serving(app) as up, httpx.AsyncClient(base_url=up.url, trust_env=False) as http:
        yield http


def body(text: str, model: str = "sim-medium", **more: object) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def answer(http: httpx.AsyncClient, request: Json) -> str:
    response = await http.post("/v1/chat/completions", json=request)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])
