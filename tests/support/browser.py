"""A real Chromium on the dashboard, and everything that its console and its network say."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

CHROMIUM = Path("/usr/bin/chromium")
needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="chromium is missing; Debian: apt-get install chromium"
)


@dataclass(frozen=True, slots=True)
class Looking:
    """A page, what was said on its console, and what it asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def text(self, selector: str) -> str:
        return (await self.page.locator(selector).inner_text()).strip()

    async def wait_for(self, selector: str, text: str) -> None:
        """Until what is there has this text in it."""
        await self.page.locator(selector).filter(has_text=text).first.wait_for(timeout=10_000)


@asynccontextmanager
async def looking(url: str, *, path: str = "/dashboard", **more: Any) -> AsyncGenerator[Looking]:
    """The dashboard of this gateway; `more` is about the browser's window."""
    sandbox = [] if os.getuid() else ["--no-sandbox"]  # root has none
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        try:
            page = await browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **more})
            here = Looking(page)
            page.on("console", lambda message: here.said.append(message.text))
            page.on("pageerror", lambda error: here.said.append(str(error)))
            page.on("request", lambda request: here.asked.append(request.url))
            await page.goto(f"{url}{path}")
            yield here
        finally:
            await browser.close()
