"""The report as one HTML file that needs nothing else: no script, no font, no network."""

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import ceil, floor, log10

from app.jsontext import Json
from app.reporting.words import Sheet, dollars, sentences, sheets

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 16, 40
LABEL_LEFT_FROM = 0.6
ROUTING = "routing"
_COLOURS = ("#2f8fc4", "#c77700", "#b0508c", "#00805c", "#c04a00", "#5a5fc7")

_STYLE = """
:root{color-scheme:light dark;
--ink:#1a2530;--quiet:#566370;--line:#d5dce3;--back:#fff;--bad:#fce8e4}
@media(prefers-color-scheme:dark){:root{
--ink:#e3e9ef;--quiet:#9daab6;--line:#313c47;--back:#11171d;--bad:#46201b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:900px;
margin:32px auto;padding:0 16px}
h1{font-size:22px}h2{font-size:16px;margin-top:28px}.quiet{color:var(--quiet)}
.badge{border:1px solid;border-radius:9px;padding:0 8px;font-size:13px}
div{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);text-align:right}
th,td{white-space:nowrap}th{color:var(--quiet);font-weight:500}
th:first-child,td:first-child{text-align:left}tr.harm td{background:var(--bad)}
svg{max-width:100%;height:auto}svg text{fill:var(--ink);font-size:12px}
svg .axis{stroke:var(--line)}svg .hull{stroke:var(--quiet)}
svg .ours{fill:var(--ink);stroke:var(--ink)}
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where in the picture a cost and an accuracy are. Units: USD per 1,000, logarithmic."""

    low_usd: float
    high_usd: float
    floor: float
    ceiling: float

    def x(self, usd: float) -> float:
        part = log10(max(usd, self.low_usd) / self.low_usd) / log10(self.high_usd / self.low_usd)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, accuracy: float) -> float:
        part = (min(accuracy, self.ceiling) - self.floor) / (self.ceiling - self.floor)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def page_of(report: Json, now_s: float) -> str:
    """The page. Units: `now_s` in Unix time."""
    first, *others = [*sentences(report)]
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in others)
    now = datetime.fromtimestamp(now_s, UTC)
    since = report["since_s"]
    span = "all requests that are kept, the older ones fading"
    if since is not None:
        span = f"requests since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC"
    simulated = ' <span class="badge">simulated</span>' if report["simulated"] else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Autoshift: what routing saved</title><style>{_STYLE}</style></head><body>"
        f"<h1>What routing saved{simulated}</h1>"
        f'<p class="quiet">{now:%Y-%m-%d %H:%M} UTC; {span}.</p>'
        f"<p><strong>{escape(first)}</strong></p><ul>{told}</ul>{_picture(report)}"
        f"{''.join(_table(sheet) for sheet in sheets(report))}</body></html>"
    )


def _table(sheet: Sheet) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in sheet.heads)
    rows = (
        f"<tr{' class=harm' if number in sheet.harmed else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(sheet.rows)
    )
    return (
        f"<h2>{escape(sheet.title)}</h2><div><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _picture(report: Json) -> str:
    """Cost and accuracy of every way that is known well enough; nothing where none is."""
    ways = {**report["fixed"], **({ROUTING: report["served"]} if report["served"] else {})}
    known = {
        name: way
        for name, way in ways.items()
        if way["accuracy"]["value"] is not None and way["usd_per_1000"]["value"]
    }
    if not known:
        return ""
    frame = _frame(known)
    marks = [_mark(name, way, report["tiers"], frame) for name, way in known.items()]
    return (
        "<h2>Cost and accuracy, with 95 % intervals</h2>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        'aria-label="Cost and accuracy; the table below has the figures">'
        f"{_axes(frame)}{_hull(report['hull'], known, frame)}{''.join(marks)}</svg>"
    )


def _frame(known: Json) -> Frame:
    costs = [way["usd_per_1000"]["value"] for way in known.values()]
    lows = [way["accuracy"]["low"] for way in known.values()]
    highs = [way["accuracy"]["high"] for way in known.values()]
    floor_ = max(0.0, floor(20 * min(lows) - 0.5) / 20)
    ceiling = min(1.05, ceil(20 * max(highs) + 0.2) / 20)
    return Frame(min(costs) / 2, max(costs) * 2.5, floor_, max(ceiling, floor_ + 0.05))


def _axes(frame: Frame) -> str:
    lines = []
    for tenth in range(ceil(20 * frame.floor), floor(20 * min(1.0, frame.ceiling)) + 1):
        y = frame.y(tenth / 20)
        lines.append(
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{5 * tenth} %</text>'
        )
    for power in range(ceil(log10(frame.low_usd)), floor(log10(frame.high_usd)) + 1):
        x = frame.x(10.0**power)
        lines.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="middle">${10.0**power:g}</text>'
        )
    label = f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">'
    return "".join(lines) + label + "USD per 1,000 requests, logarithmic</text>"


def _hull(names: list[str], known: Json, frame: Frame) -> str:
    """Coins between tiers: straight in money, so bent where money is logarithmic."""
    corners = [known[name] for name in names if name in known]
    points = []
    for left, right in pairwise(corners):
        for step in range(25):
            usd, accuracy = (
                left[what]["value"] + step / 24 * (right[what]["value"] - left[what]["value"])
                for what in ("usd_per_1000", "accuracy")
            )
            points.append(f"{frame.x(usd):.1f},{frame.y(accuracy):.1f}")
    if not points:
        return ""
    return (
        f'<polyline class="hull" fill="none" stroke-dasharray="5 4" points="{" ".join(points)}"/>'
    )


def _mark(name: str, way: Json, tiers: list[str], frame: Frame) -> str:
    accuracy, usd = way["accuracy"], way["usd_per_1000"]
    x, y = frame.x(usd["value"]), frame.y(accuracy["value"])
    ends = (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(accuracy["low"]):.1f}" '
        f'y2="{frame.y(accuracy["high"]):.1f}"/>'
        f'<line x1="{frame.x(usd["low"]):.1f}" x2="{frame.x(usd["high"]):.1f}" y1="{y:.1f}" '
        f'y2="{y:.1f}"/>'
    )
    aside, anchor = (-9, "end") if x > LABEL_LEFT_FROM * WIDTH else (9, "start")
    below = -9 if name == ROUTING else 16
    label = (
        f'<text x="{x + aside:.1f}" y="{y + below:.1f}" text-anchor="{anchor}" stroke="none">'
        f"{escape(name)}"
    )
    figures = f" {100 * accuracy['value']:.1f} %, ${dollars(usd['value'])}</text>"
    if name == ROUTING:
        point = f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>'
        return f'<g class="ours">{ends}{point}{label}{figures}</g>'
    colour = _COLOURS[tiers.index(name) % len(_COLOURS)]
    point = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    return f'<g fill="{colour}" stroke="{colour}">{ends}{point}{label}{figures}</g>'
