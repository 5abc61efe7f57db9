"""Figures by measure and case, their medians, the ratios that are the goals, and tables of all."""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan, nan

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tests.bench import cases

CPU = "CPU per request, ms"
CHUNK = "CPU per chunk, µs"
FIRST_WORDS = "first words, ms, p50"
AT_50 = "latency at 50 requests a second, ms, p50"
LAG = "event loop late by at most, ms"
LAG_MOST_MS = 50
AFTER_PINNED = "after pinned requests, MiB"
AT_START = "at the start, MiB"


@dataclass(slots=True)
class Figures:
    """Every round's figures; what is told is their median."""

    _rounds: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def note(self, measure: str, case: str, value: float) -> None:
        """One round's figure."""
        self._rounds[measure][case].append(value)

    def note_memory(self, when: str, case: str, mib: Mapping[str, float]) -> None:
        """All kinds of memory, a measure each."""
        for kind, value in mib.items():
            self.note(f"{kind} {when}", case, value)

    def median(self, measure: str, case: str) -> float:
        """Over all rounds; NaN where it was not measured."""
        values = self._rounds.get(measure, {}).get(case)
        return statistics.median(values) if values else nan

    def added(self, measure: str, case: str) -> float:
        """A latency less the provider's own, in the same run."""
        return self.median(measure, case) - self.median(measure, cases.PROVIDER.name)

    @property
    def measures(self) -> dict[str, list[str]]:
        """Which cases each measure has."""
        return {measure: list(by_case) for measure, by_case in self._rounds.items()}

    def spread(self, measure: str, case: str) -> tuple[float, float]:
        """The lowest and the highest round."""
        values = self._rounds[measure][case]
        return min(values), max(values)

    def to_json(self) -> dict[str, dict[str, list[float]]]:
        """All rounds."""
        return {measure: dict(by_case) for measure, by_case in self._rounds.items()}

    def goals(self) -> list[tuple[str, float, float]]:
        """What is aimed for: in words, as measured, and the bound it should not exceed."""
        bare, pinned = cases.BARE.name, cases.PINNED.name
        small, usual, large = (case.name for case in cases.AUTO)

        def cpu(case: str, beside: str) -> float:
            return self.median(CPU, case) / self.median(CPU, beside)

        return [
            ("pinned / bare proxy, CPU per request", cpu(pinned, bare), 1.25),
            ("pinned / bare proxy on httpx's transport", cpu(pinned, cases.BARE_HTTPX.name), 0.25),
            ("auto, no judge call / pinned", cpu(usual, pinned), 1.5),
            ("auto, one judge call / pinned", cpu(cases.JUDGED.name, pinned), 2.6),
            (
                "live stream / bare proxy, CPU per chunk",
                self.median(CHUNK, pinned) / self.median(CHUNK, bare),
                1.25,
            ),
            (
                "auto / bare proxy, added latency at 50 a second, p50",
                self.added(AT_50, usual) / self.added(AT_50, bare),
                3.0,
            ),
            (
                "direct / bare proxy, added time to first words, p50",
                self.added(FIRST_WORDS, "auto, direct") / self.added(FIRST_WORDS, bare),
                2.0,
            ),
            ("100,000 / 1,000 records, CPU per request", cpu(large, small), 2.0),
            *(
                (
                    f"{kind} after 100,000 / 20,000 pinned requests",
                    self.median(f"{kind} {AFTER_PINNED}", "100,000")
                    / self.median(f"{kind} {AFTER_PINNED}", "20,000"),
                    1.05,
                )
                for kind in ("RSS", "RssAnon")
            ),
            *(
                (f"event loop late / {LAG_MOST_MS} ms, {case}", late_ms / LAG_MOST_MS, 1.0)
                for case in self.measures.get(LAG, [])
                for late_ms in [self.spread(LAG, case)[1]]
            ),
        ]


def show(figures: Figures, title: str) -> None:
    """A table of all cases and measures, then the goals."""
    console = Console(width=150 if not Console().is_terminal else None)
    console.print(f"[bold]{title}[/bold]; medians, in brackets the lowest and the highest round")
    for measure, names in figures.measures.items():
        table = Table("", "median", "rounds", title=measure, title_justify="left", box=SIMPLE)
        for name in names:
            low, high = figures.spread(measure, name)
            median = figures.median(measure, name)
            table.add_row(name, f"{median:.4g}", f"[{low:.4g} to {high:.4g}]")
        console.print(table)
    table = Table("goal, as a ratio", "measured", "at most", "", box=SIMPLE)
    for words, measured, bound in figures.goals():
        if not isnan(measured):
            verdict = "reached" if measured <= bound else "missed"
            table.add_row(words, f"{measured:.2f}", f"{bound:g}", verdict)
    console.print(table)
