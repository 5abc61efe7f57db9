"""Draws the picture of cost and accuracy: fixed tiers, their mixtures, the policies, the oracle."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, dist, floor, log10
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from app.errors import SettingsError
from app.replay.curves import Point, accuracy_at, upper_hull
from app.replay.report import PolicyReport, ReplayReport

WIDTH, HEIGHT = 1300, 720
LEFT, RIGHT, TOP, BOTTOM = 80, 220, 80, 70
FINER = 2
"""Drawn so much larger and then reduced, which smooths the edges."""

INK, GREY, PALE = "#1b1b1b", "#7a7a7a", "#e4e4e4"
COLOURS = (
    *("#0b62c4", "#c4420b", "#1a8a3c", "#8a2fb0", "#b08a00", "#008a8a"),
    *("#d6267f", "#6b4226", "#5a6bff", "#5f7a00", "#9c1c1c", "#3b4a63"),
)
LEGEND = (
    ("fixed tiers, mixed", GREY),
    ("dotted: kNN, full labels", INK),
    ("square: agreement only", INK),
)
STEPS = 64
GRID = 0.05
DOT_EVERY = 7
ROOM = 1.3


def draw(report: ReplayReport, path: Path) -> None:
    """Write the picture. Errors: SettingsError where the file cannot be written."""
    canvas = _Canvas(_everything(report))
    canvas.axes()
    _draw_mixtures(canvas, report)
    for position, policy in enumerate(report.policies):
        _draw_policy(canvas, policy, COLOURS[position % len(COLOURS)], f"{position + 1}")
    _draw_baselines(canvas, report)
    canvas.dot(report.oracle, INK, radius=5, hollow=True)
    canvas.label(report.oracle, "oracle", INK)
    _draw_legend(canvas, report)
    try:
        canvas.save(path)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"--plot: {path}: cannot be written: {exc}") from exc


def _everything(report: ReplayReport) -> list[Point]:
    """All points that must fit in, with the ends of the intervals."""
    points = [*report.fixed.values(), report.oracle, *_bound(report)]
    if report.agreement is not None:
        points.append(report.agreement.point)
    for policy in report.policies:
        ends = policy.accuracy.interval
        points += [Point(policy.point.usd, end) for end in (ends.low, ends.high)]
        points += [setting.point for setting in policy.settings]
    return points


def _draw_mixtures(canvas: "_Canvas", report: ReplayReport) -> None:
    """The fixed tiers and their hull, which is straight in cost and so bent on this axis."""
    hull = report.mixtures
    high_usd = max(point.usd for point in report.fixed.values())
    costs_usd = canvas.costs_usd(hull[0].usd, high_usd)
    canvas.line([Point(usd, accuracy_at(hull, usd)) for usd in costs_usd], GREY)
    for name, point in report.fixed.items():
        canvas.dot(point, GREY, radius=6)
        canvas.label(point, name, GREY, below=True)


def _draw_baselines(canvas: "_Canvas", report: ReplayReport) -> None:
    """What is known in hindsight only: agreement, and full labels near each question."""
    canvas.line(_bound(report), INK, dotted=True)
    if report.agreement is not None:
        canvas.square(report.agreement.point, INK, radius=5)


def _bound(report: ReplayReport) -> list[Point]:
    """The hull of what full labels make possible."""
    return upper_hull([setting.point for setting in report.upper_bound.settings])


def _draw_policy(canvas: "_Canvas", policy: PolicyReport, colour: str, number: str) -> None:
    """The points of the sweep, and the policy's own setting with its interval and number."""
    swept = sorted((setting.point for setting in policy.settings), key=lambda p: p.usd)
    canvas.line(swept, colour)
    for point in swept:
        canvas.dot(point, colour, radius=3)
    usd, ends = policy.point.usd, policy.accuracy.interval
    canvas.line([Point(usd, ends.low), Point(usd, ends.high)], colour)
    canvas.dot(policy.point, colour, radius=9)
    canvas.inscribe(policy.point, number)


def _draw_legend(canvas: "_Canvas", report: ReplayReport) -> None:
    questions = f"{report.queries:,} questions, {report.orders} orders; judge: {report.judge}"
    canvas.text((LEFT, 14), "Accuracy against cost", INK, size=22)
    canvas.text((LEFT, 46), questions, GREY)
    entries = [
        (f"{i + 1}  {policy.policy}", COLOURS[i % len(COLOURS)])
        for i, policy in enumerate(report.policies)
    ]
    for row, (name, colour) in enumerate([*entries, *LEGEND]):
        canvas.text((WIDTH - RIGHT + 16, TOP + 22 * row), name, colour)


class _Canvas:
    """A drawing whose axes fit these points: log10 of USD per 1,000, and accuracy."""

    def __init__(self, points: Sequence[Point]) -> None:
        costs_usd = [point.usd for point in points if point.usd > 0] or [1.0]
        accuracies = [point.accuracy for point in points]
        self._cheapest_usd = min(costs_usd) / ROOM
        self._low, self._high = log10(self._cheapest_usd), log10(max(costs_usd) * ROOM)
        self._floor = GRID * floor(min(accuracies) / GRID)
        self._ceiling = max(GRID * ceil(max(accuracies) / GRID), self._floor + GRID)
        self._image = Image.new("RGB", (FINER * WIDTH, FINER * HEIGHT), "white")
        self._draw = ImageDraw.Draw(self._image)

    def save(self, path: Path) -> None:
        self._image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path, "PNG")

    def costs_usd(self, low_usd: float, high_usd: float) -> list[float]:
        """Costs from the one to the other, evenly spaced on the axis."""
        low, high = (log10(max(usd, self._cheapest_usd)) for usd in (low_usd, high_usd))
        return [10 ** (low + (high - low) * step / STEPS) for step in range(STEPS + 1)]

    def axes(self) -> None:
        """The grid, its numbers, and what they are."""
        for step in range(round((self._ceiling - self._floor) / GRID) + 1):
            accuracy = self._floor + GRID * step
            x, y = self._place(Point(self._cheapest_usd, accuracy))
            self._draw.line((FINER * x, FINER * y, FINER * (WIDTH - RIGHT), FINER * y), fill=PALE)
            self.text((x - 8, y), f"{accuracy:.2f}", GREY, anchor="rm")
        for power in range(floor(self._low), ceil(self._high) + 1):
            for digit in (1, 2, 5):
                self._tick(digit * 10.0**power)
        self.text((LEFT, HEIGHT - 30), "USD per 1,000 questions, log scale", INK)

    def _tick(self, usd: float) -> None:
        if not self._low <= log10(usd) <= self._high:
            return
        x, y = self._place(Point(usd, self._floor))
        self._draw.line((FINER * x, FINER * TOP, FINER * x, FINER * y), fill=PALE)
        self.text((x, y + 8), f"{usd:g}", GREY, anchor="ma")

    def line(self, points: Sequence[Point], colour: str, *, dotted: bool = False) -> None:
        for (x0, y0), (x1, y1) in pairwise(self._place(point) for point in points):
            if dotted:
                self._dots((x0, y0), (x1, y1), colour)
                continue
            ends = (FINER * x0, FINER * y0, FINER * x1, FINER * y1)
            self._draw.line(ends, fill=colour, width=2 * FINER)

    def _dots(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        """Along this stretch, at even distances."""
        count = max(1, round(dist(start, end) / DOT_EVERY))
        for step in range(count + 1):
            x, y = (a + (b - a) * step / count for a, b in zip(start, end, strict=True))
            box = tuple(FINER * edge for edge in (x - 1.5, y - 1.5, x + 1.5, y + 1.5))
            self._draw.ellipse(box, fill=colour)

    def dot(self, point: Point, colour: str, *, radius: int, hollow: bool = False) -> None:
        x, y = self._place(point)
        box = tuple(FINER * edge for edge in (x - radius, y - radius, x + radius, y + radius))
        fill = "white" if hollow else colour
        self._draw.ellipse(box, fill=fill, outline=colour, width=2 * FINER)

    def square(self, point: Point, colour: str, *, radius: int) -> None:
        """A hollow one."""
        x, y = self._place(point)
        box = tuple(FINER * edge for edge in (x - radius, y - radius, x + radius, y + radius))
        self._draw.rectangle(box, fill="white", outline=colour, width=2 * FINER)

    def label(self, point: Point, text: str, colour: str, *, below: bool = False) -> None:
        x, y = self._place(point)
        anchor = "ra" if x > WIDTH - RIGHT - 2 * LEFT else "la"
        self.text((x, y + 10 if below else y - 28), text, colour, anchor=anchor)

    def inscribe(self, point: Point, text: str) -> None:
        """A few letters inside a dot."""
        self.text(self._place(point), text, "white", anchor="mm", size=13)

    def text(
        self, at: tuple[float, float], text: str, colour: str, *, anchor: str = "la", size: int = 15
    ) -> None:
        font = ImageFont.load_default(FINER * size)
        place = (FINER * at[0], FINER * at[1])
        self._draw.text(place, text, fill=colour, font=font, anchor=anchor)

    def _place(self, point: Point) -> tuple[float, float]:
        """Where the point is in the picture, in its pixels."""
        usd = max(point.usd, self._cheapest_usd)
        across = (log10(usd) - self._low) / (self._high - self._low)
        up = (point.accuracy - self._floor) / (self._ceiling - self._floor)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )
