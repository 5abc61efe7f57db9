"""The figures that say whether routing pays, as Prometheus gauges."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

StandingGauge: TypeAlias = Literal[
    "fixed_accuracy",
    "fixed_usd_per_1000",
    "fixed_effective_sample",
    "served_accuracy",
    "served_usd_per_1000",
    "served_effective_sample",
    "routing_gain",
    "alarms",
    "saved_usd_per_1000",
    "calibration_error",
    "brier_score",
    "judge_accepts_right",
    "judge_accepts_wrong",
    "quality_target",
    "quality_kept",
    "quality_audits",
    "rate_factor",
]
Figures: TypeAlias = Mapping[StandingGauge, Mapping[str, float]]
"""By tier or by alarm; of what was served, under the empty name. What is unknown is left out."""

_GAUGES: dict[StandingGauge, tuple[str | None, str]] = {
    "fixed_accuracy": ("tier", "Estimated accuracy had this tier answered everything."),
    "fixed_usd_per_1000": ("tier", "USD for 1,000 requests had this tier answered everything."),
    "fixed_effective_sample": ("tier", "How many labels the tier's accuracy is worth."),
    "served_accuracy": (None, "Estimated accuracy of what was served."),
    "served_usd_per_1000": (None, "USD for 1,000 requests as they were served."),
    "served_effective_sample": (None, "How many labels the accuracy served is worth."),
    "routing_gain": (None, "Accuracy served, less that of the best fixed tiers for its cost."),
    "alarms": ("alarm", "Reasons to think that learning is corrupt."),
    "saved_usd_per_1000": ("tier", "USD saved for 1,000 requests beside this tier; or lost, < 0."),
    "calibration_error": ("tier", "Expected calibration error of what is believed of a tier."),
    "brier_score": ("tier", "Mean squared error of what is believed of a tier."),
    "judge_accepts_right": ("tier", "How often judges accept right answers of this tier."),
    "judge_accepts_wrong": ("tier", "How often judges accept wrong answers of this tier."),
    "quality_target": (None, "The share of the top tier's accuracy that is to be kept."),
    "quality_kept": ("end", "The share of it that is kept, by audits, and its 95 % interval."),
    "quality_audits": (None, "How many audits say so."),
    "rate_factor": (None, "What is left of the rate of trade where audits fell short; 1: all."),
}


class StandingGauges(Collector):
    """Each gauge as far as it is known whenever the metrics are fetched."""

    def __init__(self, read: Callable[[], Figures]) -> None:
        self._read = read

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            known = self._read()
        except Exception:  # noqa: BLE001 - one broken part must not hide all the others
            known = {}
        for name, (label, help_text) in _GAUGES.items():
            labels = () if label is None else (label,)
            gauge = GaugeMetricFamily(f"autoshift_{name}", help_text, labels=labels)
            for about, figure in known.get(name, {}).items():
                gauge.add_metric([about] if label else [], figure)
            yield gauge


class OneOf(Collector):
    """A state as a series for each of its words, 1 for the word that is true now."""

    def __init__(
        self, name: str, help_text: str, words: Sequence[str], read: Callable[[], str]
    ) -> None:
        self._name = name
        self._help_text = help_text
        self._words = words
        self._read = read

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = self._read()
        gauge = GaugeMetricFamily(f"autoshift_{self._name}", self._help_text, labels=(self._name,))
        for word in self._words:
            gauge.add_metric([word], float(word == now))
        yield gauge
