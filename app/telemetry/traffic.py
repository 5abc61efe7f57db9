"""What upstreams are asked and how they are, as Prometheus series."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

STATES = ("closed", "half-open", "open")


class Traffic(Collector):
    """Counts calls, and shows the state of each circuit breaker whenever metrics are fetched.

    Upstreams are called as they are configured: `<provider>/<model>`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read: Callable[[], Mapping[str, str]] = dict
        self._in_flight: Callable[[], float] = float

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"autoshift_{name}", help_text, labels, registry=registry)

        self._calls = counter("upstream_calls", "Calls made, retries included.", "upstream")
        self._failures = counter("upstream_failures", "Calls that failed.", "upstream", "error")
        self._retries = counter("upstream_retries", "Calls made once more.", "upstream")
        self._failovers = counter(
            "upstream_failovers", "Failures after which the tier's next one was asked.", "upstream"
        )
        self._sheds = counter("sheds", "What was turned away: too much was in flight.", "what")
        self._limited = counter("limited", "What a limit refused.", "limit")
        registry.register(self)

    def watch(
        self, states: Callable[[], Mapping[str, str]], in_flight: Callable[[], float]
    ) -> None:
        """Where to read, by upstream, its breaker's state; and how many requests there are."""
        self._read = states
        self._in_flight = in_flight

    def called(self, upstream: str) -> None:
        """A call was made."""
        self._calls.labels(upstream).inc()

    def failed(self, upstream: str, code: str | None) -> None:
        """A call failed; `code` is one of our own."""
        self._failures.labels(upstream, code or "upstream_error").inc()

    def retried(self, upstream: str) -> None:
        """It is called once more."""
        self._retries.labels(upstream).inc()

    def failed_over(self, upstream: str) -> None:
        """Another upstream of the tier is asked instead."""
        self._failovers.labels(upstream).inc()

    def shed(self, what: str) -> None:
        """A request, or a lesson, was turned away."""
        self._sheds.labels(what).inc()

    def limited(self, limit: str) -> None:
        """A limit refused a request, or one of its calls; it is called as it is configured."""
        self._limited.labels(limit).inc()

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "autoshift_upstream_state",
            "1 for the state that the upstream's circuit breaker is in.",
            labels=("upstream", "state"),
        )
        for upstream, now in self._read().items():
            for state in STATES:
                gauge.add_metric([upstream, state], float(state == now))
        yield gauge
        yield GaugeMetricFamily(
            "autoshift_in_flight", "Requests that are being served.", value=self._in_flight()
        )
