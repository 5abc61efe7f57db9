"""Keeps asking of the running gateway whether routing pays, or a fixed tier would do better."""

import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from math import inf

from app.records import Purpose, Record
from app.reporting.alarms import ALARMS, Alarm, Pulse, raised
from app.reporting.book import Book
from app.reporting.counterfactual import Sums
from app.reporting.sightings import row_of
from app.reporting.standing import Standing, State, standing_of
from app.reporting.window import Added, Window
from app.telemetry.gauges import StandingGauge

logger = logging.getLogger(__name__)

WINDOW_REQUESTS = 5000
"""How many requests' worth of evidence is kept, the older of it fading."""
TENANTS = 1000
REMEMBERED = 20_000
"""Of so many requests what they added is kept, so that later evidence can correct it."""
LOOK_EVERY = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """What one request added, and where: its number in all, in the overall window, the tenant's."""

    tenant: str
    time_s: float
    added: Added | None
    request: int
    number: int
    number_of_tenant: int


class Tracker:
    """Follows records as they are finished, and again as more becomes known about them.

    Bounded: of too many tenants and requests, those not heard of for longest are forgotten. A new
    ladder starts afresh; of another than `ladder`, where one is given, nothing is noted.
    """

    def __init__(
        self, *, ladder: tuple[str, ...] | None = None, window_requests: float = WINDOW_REQUESTS
    ) -> None:
        self._ladder = ladder
        self._window_requests = window_requests
        # Faded weights a, a², … are worth (1 + a) / (1 - a) equal ones.
        self._decay = 1 - 2 / window_requests
        self._windows: OrderedDict[str | None, Window] = OrderedDict()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._forgotten_s = -inf
        self._requests = 0
        self._state: State = "unknown"
        self._told: set[tuple[str, str]] = set()
        self._pulse = Pulse()
        self.alarms: tuple[Alarm, ...] = ()
        self.book = Book()

    def fresh(self) -> "Tracker":
        """One like this that has seen nothing."""
        return Tracker(ladder=self._ladder, window_requests=self._window_requests)

    def adopt(self, other: "Tracker") -> None:
        """Know what that one knows and no more; what the log was told already is no news."""
        told = {"_state": self._state, "_told": self._told, "alarms": self.alarms}
        self.__dict__.update({**vars(other), **told})

    def observe(self, record: Record) -> None:
        """Take note of a record; of one that was seen before, put what it adds now in its place.

        What comes so late that the request is forgotten changes nothing.
        """
        before = self._requests
        self.restore(record)
        if self._requests > before and self._requests % LOOK_EVERY == 0:
            self.tell()

    def restore(self, record: Record) -> None:
        """The same, without a word: of an old record nothing is news."""
        known = self._entries.get(record.id)
        if known is not None:
            self._correct(record, known)
        elif self._concerns(record):
            self._add(record)
        if self._is_ours(record):
            entry = self._entries.get(record.id)
            self.book.write(record, entry.added if entry else None)

    def look(self) -> None:
        """See which alarms are on by now."""
        overall = self._windows.get(None)
        if overall is not None:
            self.alarms = raised(self._pulse, overall.sums, self.alarms)

    def tell(self) -> None:
        """Look how things stand by now; what is new goes to the log, once."""
        self.look()
        self._tell_state()
        known, self._told = self._told, {(alarm.name, alarm.about) for alarm in self.alarms}
        for alarm in self.alarms:
            if (alarm.name, alarm.about) not in known:
                extra = {"alarm": alarm.name, "says": alarm.sentence}
                logger.warning("learning looks corrupt", extra=extra)

    def standing(self, tenant: str | None = None) -> Standing | None:
        """How things stand for one tenant, or over all; None where nothing was heard of it."""
        window = self._windows.get(tenant)
        return None if window is None else window.standing

    @property
    def tenants(self) -> tuple[str, ...]:
        """Those of whom something is remembered."""
        return tuple(tenant for tenant in self._windows if tenant is not None)

    def sums(self, tenant: str | None = None) -> Sums | None:
        """What stands behind that."""
        window = self._windows.get(tenant)
        return None if window is None else window.sums

    def spend(self, tenant: str | None = None) -> dict[Purpose, float] | None:
        """What was spent on what; None where that is unknown. Units: USD per 1,000 requests."""
        window = self._windows.get(tenant)
        return None if window is None else window.spend()

    def gauges(self) -> dict[StandingGauge, dict[str, float]]:
        """The figures over all tenants, by tier or by alarm; what is unknown is left out."""
        standing = self.standing()
        if standing is None:
            return {}
        served, gain = standing.served, standing.gain
        on = Counter(alarm.name for alarm in self.alarms)
        found: dict[StandingGauge, dict[str, float | None]] = {
            "fixed_accuracy": {t: way.accuracy.value for t, way in standing.fixed.items()},
            "fixed_usd_per_1000": {t: w.usd_per_1000.value for t, w in standing.fixed.items()},
            "fixed_effective_sample": {t: w.accuracy.n_eff for t, w in standing.fixed.items()},
            "served_accuracy": {"": served.accuracy.value},
            "served_usd_per_1000": {"": served.usd_per_1000.value},
            "served_effective_sample": {"": served.accuracy.n_eff},
            "routing_gain": {"": None if gain is None else gain.value},
            "alarms": {name: float(on[name]) for name in ALARMS},
        }
        return {
            name: {about: value for about, value in figures.items() if value is not None}
            for name, figures in found.items()
        }

    def _concerns(self, record: Record) -> bool:
        """Whether it is one of those whose figures are kept, and not forgotten already."""
        routed = record.kind == "routed"
        return self._is_ours(record) and routed and record.time_s > self._forgotten_s

    def _is_ours(self, record: Record) -> bool:
        asked_for = record.lessons is None or not record.lessons.certain  # not by a warm-up
        return asked_for and self._ladder in {None, record.ladder}

    def _add(self, record: Record) -> None:
        overall, tenants = self._window(None, record), self._window(record.tenant, record)
        row = row_of(record, tenants.predicted_usd(record))
        self._pulse.observe(record, row)
        added = None
        if row is not None:
            tenants.learn_costs(record, row)
            added = overall.added_by(row)
        self._requests += 1
        self._entries[record.id] = Entry(
            tenant=record.tenant,
            time_s=record.time_s,
            added=added,
            request=self._requests,
            number=overall.add(added),
            number_of_tenant=tenants.add(added),
        )
        if len(self._entries) > REMEMBERED:
            _, oldest = self._entries.popitem(last=False)
            self._forgotten_s = max(self._forgotten_s, oldest.time_s)
        if self._requests % LOOK_EVERY == 0:
            self.look()

    def _correct(self, record: Record, known: Entry) -> None:
        if self._pulse.hear(record):
            self.tell()
        overall, tenants = self._windows.get(None), self._windows.get(known.tenant)
        if overall is None or known.added is None or overall.born >= known.request:
            return
        row = row_of(record, overall.sums.predicted_usd(known.added.vector))
        self._pulse.observe_again(record, row)
        if row is None:
            return
        now = overall.added_by(row)
        overall.correct(known.number, known.added, now)
        if tenants is not None and tenants.born < known.request:
            tenants.learn_costs(record, row, known.added.vector)
            tenants.correct(known.number_of_tenant, known.added, now)
        self._entries[record.id] = replace(known, added=now)

    def _window(self, tenant: str | None, record: Record) -> Window:
        window = self._windows.get(tenant)
        if window is None or window.tiers != record.ladder:
            window = Window(record.ladder, self._decay, born=self._requests)
            self._windows[tenant] = window
        self._windows.move_to_end(tenant)
        if len(self._windows) > TENANTS:
            self._windows.popitem(last=False)
        return window

    def _tell_state(self) -> None:
        overall = self._windows.get(None)
        if overall is None:
            return
        standing = overall.standing
        if standing.state in {"unknown", self._state} or self._holds(overall):
            return
        extra = {"was": self._state, "now": standing.state, "says": standing.sentence}
        self._state = standing.state
        if standing.state == "fixed":
            logger.warning("a fixed tier would have been better", extra=extra)
        else:
            logger.info("what routing is worth has changed", extra=extra)

    def _holds(self, overall: Window) -> bool:
        """Whether what was said last could be said still, if less surely."""
        return standing_of(overall.sums, overall.left_out).state == self._state
