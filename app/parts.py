"""What answers requests and learns from them, made once, whoever brings them."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from random import Random

import httpx
import uuid_utils
from anyio import to_thread

from app.abstention import Abstainer
from app.accounts.limiter import Limiter, build_limiter
from app.afterwards import Afterwards
from app.audience import Audience
from app.canaries import Canaries
from app.catalogue import Catalogue
from app.clock import SystemClock
from app.conversations import Conversations
from app.embedder import build_embedder
from app.generator import UpstreamGenerator
from app.jsontext import Json
from app.judge.arbiter import arbiter_rule
from app.judge.checks import CHECKS
from app.judge.llm import LlmJudge
from app.lessons import Teacher
from app.mode import Mode
from app.planning.prefilter import Prefilter
from app.policies import Files, build_policies, read_files
from app.policy import Policy
from app.prices import doubts, price_of
from app.recorder import Recorder
from app.records import Record
from app.reporting.tracker import Tracker
from app.retriever import Retriever
from app.reuse import Reusing
from app.settings import Settings
from app.settings.configuration import secret
from app.settings.policies import LEARNER
from app.small_model import SmallModels
from app.store import Outbox, RecordStore, build_outbox, build_store
from app.strategies import Strategies, build_shelf
from app.telemetry.metrics import Metrics
from app.telemetry.request_log import log_request
from app.telemetry.tracing import Tracing, build_tracing
from app.texts import Texts
from app.tiers import Tier, TierLadder
from app.transmission import Transmission
from app.trials import Trials, Trying
from app.upstreams.build import build_exchange, build_limit, build_transport
from app.upstreams.inflight import InFlightLimit
from app.upstreams.retries import RetryBudget
from app.upstreams.turns import Exchange
from app.vitals import Vitals, kept_by, over_by, watch
from app.working import Worker, working

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What answers requests and learns from them, whoever brings them: HTTP, or a command."""

    settings: Settings
    limiter: Limiter
    ladder: TierLadder
    transport: httpx.AsyncBaseTransport
    exchange: Exchange
    in_flight: InFlightLimit
    policies: Mapping[str, Policy]
    files: Files
    catalogue: Catalogue
    store: RecordStore
    outbox: Outbox
    strategies: Strategies
    metrics: Metrics
    recorder: Recorder
    clock: SystemClock
    tracker: Tracker
    audience: Audience
    afterwards: Afterwards
    retriever: Retriever
    transmission: Transmission
    mode: Mode
    trials: Trials
    trying: Trying
    tracing: Tracing
    vitals: Vitals

    def told_mode(self) -> Json:
        """Who really serves, and what was tried beside it. Units: USD, lessons included."""
        told = self.mode.told()
        if self.mode.name != "route":
            told |= {"tried": self.trials.tried, "spent_usd": self.trials.spent_usd}
        return told

    @asynccontextmanager
    async def working(self, *workers: Worker) -> AsyncGenerator[None, None]:
        """Store and outbox are open and these work, until the block is left: then all is closed.

        Errors: StoreLockedError, StoreMismatchError, StoreError, OutboxError.
        """
        try:
            async with AsyncExitStack() as stack:
                if (shelf := self.strategies.shelf) is not None:
                    mine = working(shelf, (shelf.recorder, self.strategies))
                    await stack.enter_async_context(mine)
                await stack.enter_async_context(working(self, workers))
                yield
        finally:
            await self.transport.aclose()
            await to_thread.run_sync(self.tracing.close)


def build_parts(settings: Settings) -> Parts:
    """Everything but the HTTP side. Errors: SettingsError."""
    ladder = priced_ladder(settings)
    for doubt in doubts(ladder.tiers):
        logger.warning("prices: %s", doubt)
    files = read_files(settings)
    policies = build_policies(settings, files)
    clock = SystemClock()
    transport = build_transport(settings)
    embedder = build_embedder(settings.embedder)
    tiers = (*ladder.names, LEARNER) if settings.learner.enabled else ladder.names
    metrics = Metrics(tiers=tiers, policies=policies, checks=CHECKS, version=version("autoshift"))
    store = build_store(
        settings.store,
        dimension=embedder.dimension,
        api_key=secret(settings.store.api_key_env, wanted_by="store"),
        refused=metrics.refuse_row,
    )
    outbox = build_outbox(settings.store)
    rng = Random(settings.seed)  # noqa: S311 - chooses tiers and waits, guards nothing
    budget = RetryBudget(settings.retries, clock, rng)
    exchange = build_exchange(settings, transport, budget, metrics.traffic, clock)
    in_flight = build_limit(settings.limits, budget, metrics.traffic)
    tracing = build_tracing(settings.tracing, ladder, version("autoshift"))

    def observe(record: Record, acknowledged: bool) -> None:
        log_request(record, acknowledged)
        tracing.observe(record)
        metrics.observe(record, acknowledged)

    recorder = Recorder(store, outbox, observe)
    tracker = Tracker(ladder=ladder.names)
    small = SmallModels(settings.learner, rng=rng, clock=clock)
    audience = Audience(
        recorder,
        also=small.observe,
        policies=policies,
        frozen={"value"} if settings.value.frozen else (),
        asleep=policies.keys() - {settings.policy, "value"},
        tracker=tracker,
    )
    vitals = Vitals(
        tracker=tracker,
        kept=kept_by(policies),
        target=settings.value.keep_quality,
        over=over_by(policies),
        lagged=metrics.observe_lag,
    )
    watch(metrics, recorder, outbox, vitals)
    metrics.traffic.watch(exchange.states, lambda: in_flight.in_flight)
    judge = LlmJudge(
        exchange, max_tokens=settings.judge.max_tokens, timeout_s=settings.judge.timeout_s
    )
    generator = Reusing(UpstreamGenerator(exchange))
    teacher = Teacher(
        ladder=ladder,
        generator=generator,
        judge=judge,
        arbiter=arbiter_rule(settings.judge.arbiter),
        canaries=Canaries(settings.judge.canary_every),
        clock=clock,
    )
    shelf = build_shelf(settings, dimension=embedder.dimension)
    strategies = Strategies(
        shelf, embedder=embedder.tag, records=recorder, generator=generator, clock=clock
    )
    trials = Trials(share=settings.shadow.share, rng=Random(settings.seed))  # noqa: S311 - coins
    afterwards = Afterwards(
        teacher=teacher,
        recorder=recorder,
        meter=metrics,
        clock=clock,
        audience=audience,
        busy=lambda: in_flight.busy,
        trials=trials,
        tracing=tracing,
        strategies=strategies,
    )
    retriever = Retriever(embedder=embedder, store=store, clock=clock)
    transmission = Transmission(
        ladder=ladder,
        retriever=retriever,
        conversations=Conversations(store=store, clock=clock),
        generator=generator,
        judge=judge,
        afterwards=afterwards,
        recorder=recorder,
        clock=clock,
        rng=rng,
        max_calls=settings.limits.max_calls,
        texts=Texts(settings.records.text),
        abstainer=Abstainer(
            settings.abstain.below, settings.abstain.action == "refuse", settings.abstain.explore
        ),
        prefilter=Prefilter(settings.judge.skip_surest),
        small=small,
    )
    mode = Mode(settings.mode, settings.shadow, ladder=ladder, tracker=tracker)
    metrics.watch_mode(lambda: mode.name)
    return Parts(
        settings=settings,
        limiter=build_limiter(settings.limits, metrics.traffic.limited),
        ladder=ladder,
        transport=transport,
        exchange=exchange,
        in_flight=in_flight,
        policies=policies,
        files=files,
        catalogue=Catalogue(
            ladder=ladder, policies=policies, default=settings.policy, aliases=settings.aliases
        ),
        store=store,
        outbox=outbox,
        strategies=strategies,
        metrics=metrics,
        recorder=recorder,
        clock=clock,
        tracker=tracker,
        audience=audience,
        afterwards=afterwards,
        retriever=retriever,
        transmission=transmission,
        mode=mode,
        trials=trials,
        trying=Trying(
            trials=trials,
            loop=transmission,
            recorder=recorder,
            clock=clock,
            new_id=new_id,
            busy=lambda: in_flight.busy,
        ),
        tracing=tracing,
        vitals=vitals,
    )


def new_id() -> str:
    """A record's, in order of time."""
    return str(uuid_utils.uuid7())


def priced_ladder(settings: Settings) -> TierLadder:
    """The tiers with every price that is known."""
    return TierLadder(tuple(_priced(tier, settings) for tier in settings.tiers))


def _priced(tier: Tier, settings: Settings) -> Tier:
    """The tier with a price: its own, else the list price where one is known."""
    if tier.price is not None:
        return tier
    price = price_of(tier.model, settings.providers[tier.provider].base_url)
    return tier.model_copy(update={"price": price})
