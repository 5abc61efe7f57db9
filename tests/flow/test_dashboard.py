"""The dashboard in a real Chromium, and the figures it is given."""

import re
from pathlib import Path

import pytest

from app.serving import serving
from tests.support.browser import looking, needs_chromium
from tests.support.gateway import Gateway, Json, gateway, metric, until
from tests.support.keys import SECRETS, bearer, keys_in
from tests.support.logged import TIERS, World, kept

pytestmark = pytest.mark.anyio

PHONE = {"width": 390, "height": 844}
PLOTS = ("mix", "picture", "accuracy", "cost")
WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"
BACK = "getComputedStyle(document.body).backgroundColor"


async def figures(gate: Gateway, **query: str) -> Json:
    reply = await gate.http.get("/v1/dashboard", params=query)
    assert reply.status_code == 200, reply.text
    found: Json = reply.json()
    return found


async def counted(gate: Gateway, requests: int) -> Json:
    """The figures, once there are so many requests in them."""

    async def are_there() -> bool:
        return bool((await figures(gate))["report"]["counts"]["all"] >= requests)

    await until(are_there, 30)
    return await figures(gate)


async def history(store: Path) -> None:
    """Enough of it for every figure."""
    world = World(1, start="medium", judge_sees=0.9, decided=True)
    await kept(store, [world.record() for _ in range(1200)])


@needs_chromium
async def test_the_page_shows_what_the_metrics_count(tmp_path: Path) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    async with gateway(tmp_path) as gate:
        for number in range(4):
            asked = await gate.ask(f"What is {number} + 1?", autoshift={"task": nasty})
            assert asked.status_code == 200
        assert (await gate.ask(model="large")).status_code == 200
        await counted(gate, 5)
        metrics = (await gate.http.get("/metrics")).text
        async with looking(gate.url) as here:
            await here.wait_for("#requests", "5")
            routed, pinned = (
                sum(
                    metric(metrics, "autoshift_requests_total", kind=kind, policy=policy)
                    for policy in ("llm_at", "always:large")
                )
                for kind in ("routed", "pinned")
            )
            assert await here.text("#requests-more") == f"{routed:.0f} routed, {pinned:.0f} pinned"
            spent = sum(
                metric(metrics, "autoshift_cost_usd_total", tier=tier, purpose=purpose)
                for tier in TIERS
                for purpose in ("answer", "draft", "judge", "lesson")
            )
            shown = float((await here.text("#spent")).removeprefix("$"))
            assert shown == pytest.approx(spent, rel=0.01)
            assert "not enough evidence" in await here.text("#accuracy")
            assert nasty in await here.text("#newest")
            # It keeps up by itself.
            assert (await gate.ask()).status_code == 200
            await here.wait_for("#requests", "6")
        assert here.said == []
        assert {url.split("/")[2] for url in here.asked} == {gate.url.split("/")[2]}


@needs_chromium
async def test_without_a_request_it_says_how_to_send_one(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate, looking(gate.url) as here:
        await here.wait_for("#nothing", "No request yet")
        assert f"curl {gate.url}/v1/chat/completions" in await here.text("#example")
        assert not await here.page.locator("#figures").is_visible()
        await here.page.select_option("#since", "1h")
        await here.wait_for("#updated", "As of")
        assert here.said == []


@needs_chromium
async def test_everything_is_drawn_light_dark_and_as_wide_as_a_phone(tmp_path: Path) -> None:
    await history(tmp_path)
    async with gateway(tmp_path, policy="value") as gate:
        told = await counted(gate, 1200)
        async with looking(gate.url, color_scheme="light") as here:
            await here.wait_for("#state", "routing pays")
            assert (await here.text("#sentence")).startswith("+")
            for plot in PLOTS:
                assert await here.page.locator(f"#{plot}-plot canvas").count() == 1
                table = here.page.locator(f"#{plot}-table tbody tr")
                assert await table.count() > 1  # for those who cannot see it
            assert await here.page.locator("#calibration canvas").count() == 3
            saved = told["report"]["savings"]["large"]["saved"]["value"]
            assert await here.text("#saved") == f"{saved:.0%}".replace("%", " %")
            await here.page.select_option("#baseline", "small")
            await here.wait_for("#saved-name", "against always small")
            assert (await here.text("#saved")).startswith("\N{MINUS SIGN}")
            light = await here.page.evaluate(BACK)
            await here.page.emulate_media(color_scheme="dark")
            assert await here.page.evaluate(BACK) != light
            assert await here.page.locator("#picture-plot canvas").count() == 1
            await here.page.get_by_role("button", name="Theme: auto").click()
            assert await here.page.evaluate(BACK) == light
            await here.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            width, window = await here.page.evaluate(WIDTHS)
            assert width <= window
            canvas = await here.page.locator("#mix-plot .uplot").bounding_box()
            assert canvas is not None
            assert canvas["width"] <= PHONE["width"]
        assert here.said == []


@needs_chromium
async def test_the_keyboard_alone_reaches_a_decision_and_comes_back(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        reply = await gate.ask()
        await counted(gate, 1)
        async with looking(gate.url) as here:
            await here.wait_for("#requests", "1")
            focused = here.page.locator("#newest button:focus")
            for _ in range(40):
                await here.page.keyboard.press("Tab")
                if await focused.count():
                    break
            assert await focused.count() == 1
            await here.page.keyboard.press("Enter")
            await here.wait_for("#story-title", reply.headers["x-autoshift-decision"])
            await here.wait_for("#story-body", "What was asked, in order")
            assert "1. small (served)" in await here.text("#story-body")
            assert "believed accuracy" in await here.text("#story-body")
            await here.page.keyboard.press("Escape")
            assert not await here.page.locator("#story").is_visible()
            assert await focused.count() == 1
        assert here.said == []


@needs_chromium
async def test_with_keys_it_shows_nothing_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, keys=keys_in(monkeypatch)) as gate:
        assert (await gate.ask(headers=bearer("a-1"))).status_code == 200
        async with looking(gate.url) as here:
            await here.wait_for("#ask-key", "asks for a key")
            assert not await here.page.locator("#figures").is_visible()
            await here.page.fill("#key", "wrong")
            await here.page.keyboard.press("Enter")
            await here.wait_for("#trouble", "That key does not open it")
            await here.page.fill("#key", SECRETS["a-1"])
            await here.page.keyboard.press("Enter")
            await here.wait_for("#requests", "1")
            assert await here.page.evaluate("localStorage.length") == 0
            assert SECRETS["a-1"] not in " ".join(here.asked)
            assert not await here.page.locator("#tenants").is_visible()
        # Chromium itself notes each 401.
        assert all("401" in line for line in here.said)


async def test_the_page_and_its_files_carry_no_figures_and_may_load_nothing_else(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        page = await gate.http.get("/dashboard")
        policy = page.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert not re.search(r"\son\w+=|<style|style=|<script>|https?://", page.text)
        files = re.findall(r'(?:src|href)="(dashboard/[^"]+)"', page.text)
        assert len(files) >= 6
        for file in files:
            reply = await gate.http.get(f"/{file}")
            assert reply.status_code == 200
            assert reply.headers["x-content-type-options"] == "nosniff"
        for path in ("nothing.js", "..%2fdashboard.py", "uplot-1.6.32.LICENSE"):
            assert (await gate.http.get(f"/dashboard/{path}")).status_code == 404


async def test_an_admin_sees_everybody_and_a_tenant_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, keys=keys_in(monkeypatch)) as gate:
        mine = await gate.ask(headers=bearer("a-1"))
        assert (await gate.ask(headers=bearer("b-1"))).status_code == 200

        async def told(key: str, status: int = 200, **query: str) -> Json:
            reply = await gate.http.get("/v1/dashboard", params=query, headers=bearer(key))
            assert reply.status_code == status
            found: Json = reply.json()
            return found

        async def both_counted() -> bool:
            everybody = await told("root", tenant="*", since="1h")
            return bool(everybody["report"]["counts"]["all"] == 2)

        await until(both_counted, 10)
        own, other = await told("a-1", since="1h"), await told("b-1", since="1h")
        everybody = await told("root", tenant="*", since="1h")
        await told("a-1", 403, tenant="*")
        decision = mine.headers["x-autoshift-decision"]
        story = f"/v1/decisions/{decision}"
        named = {"tenant": own["tenant"]}
        statuses = [
            (await gate.http.get(story, headers=bearer(key), params=query)).status_code
            for key, query in (("b-1", {}), ("b-1", named), ("root", named))
        ]
    assert [one["id"] for one in own["newest"]] == [decision]
    assert decision not in str(other)
    assert "tenants" not in own
    assert {own["tenant"], other["tenant"]} < set(everybody["tenants"])
    assert {one["tenant"] for one in everybody["newest"]} == {own["tenant"], other["tenant"]}
    assert statuses == [404, 403, 200]


async def test_on_the_admin_port_it_is_about_everybody(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate, serving(gate.app.state.admin) as admin:
        assert (await gate.ask()).status_code == 200
        await counted(gate, 1)
        reply = await gate.http.get(f"{admin.url}/v1/dashboard")
        page = await gate.http.get(f"{admin.url}/dashboard")
    assert (reply.json()["tenant"], page.status_code) == ("*", 200)


async def test_what_cannot_be_asked_is_refused_in_the_envelope(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for query in ({"since": "soon"}, {"until": "1h"}):
            reply = await gate.http.get("/v1/dashboard", params=query)
            assert reply.status_code == 400
            assert reply.json()["error"]["param"] == next(iter(query))
