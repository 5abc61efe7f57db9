"""Everything that can be configured, as typed sections with their defaults."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from app.dials import DIAL_MAX, DIALS, Dial, DialName
from app.extension import StreamMode
from app.section import LOOPBACK, Fraction, Name, NotNegative, Positive, Section
from app.settings.judging import JudgeSection
from app.settings.keys import Key, Limits
from app.settings.mode import ModeSetting, ShadowSection
from app.settings.policies import (
    LEARNER,
    AbstainSection,
    AutoMixSection,
    BanditSection,
    BenchmarkSection,
    BestOfNSection,
    CascadeRoutingSection,
    EmaFusionSection,
    InterCascadeSection,
    LearnerSection,
    MarginSection,
    TargetErrorSection,
    WinrateSection,
)
from app.settings.pressure import BreakerSection, RetriesSection
from app.settings.providers import Provider
from app.telemetry.tracing import TracingSection
from app.tiers import Tier, TierLadder

PREFIX = "AUTOSHIFT_"

Port = Annotated[int, Field(ge=0, le=65535)]
Origin = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://[^/\s*]+$")]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,253}$|^\[[0-9A-Fa-f:.]+\]$")]
Endpoint: TypeAlias = Literal[
    "embeddings", "completions", "moderations", "responses", "images/generations", "audio/speech"
]


class Admin(Section):
    host: str = "127.0.0.1"
    port: Port = 9090


class Server(Section):
    """Where to listen. `deadline_s` bounds a request until its answer streams live.

    After SIGTERM requests are taken for `pre_stop_s`, though `/readyz` says no; then those under
    way get `drain_s`. `reader_s` is how long a client may leave its reply unread.

    `body_s` is what an upload may take, and a second more for each 64 KiB. `cors` lists the
    origins whose pages may ask. `hosts` are names it is reached by, besides this machine's own;
    where there are keys and no such names, any is served. `admin` is for those who operate it.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    admin: Admin | None = None
    pre_stop_s: NotNegative = 3.0
    drain_s: Positive = 60.0
    reader_s: Positive = 30.0
    deadline_s: Positive = 280.0
    hold_s: Positive = 10.0
    body_bytes: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    body_s: Positive = 10.0
    cors: tuple[Origin, ...] = ()
    hosts: tuple[HostName, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The hosts that are bound."""
        return (self.host,) if self.admin is None else (self.host, self.admin.host)


class LlmAtSection(Section):
    threshold: Fraction = 0.7
    neighbours: Annotated[int, Field(ge=1, le=100)] = 5
    prior_weight: Annotated[float, Field(ge=0)] = 5.0


class ValueSection(Section):
    """The default policy, and its dial, one of three.

    `quality_per_dollar`: how much accuracy (of 1) one more USD must buy; `auto`: a mean call of the
    top tier must buy ten points. `usd_per_1000`: what 1,000 requests may cost, all told.
    `keep_quality`: the share of the top tier's accuracy to keep, as cheaply as that can be done.

    `usd_per_second` is what a second of waiting costs. `lessons` is the share of all spend that
    goes into learning; `frozen`: nothing is learned any more, and there are no lessons.
    """

    quality_per_dollar: Literal["auto"] | Annotated[float, Field(ge=0, le=DIAL_MAX)] = "auto"
    usd_per_1000: Annotated[float, Field(gt=0, le=DIAL_MAX)] | None = None
    keep_quality: Annotated[float, Field(gt=0, le=1)] | None = None
    usd_per_second: Annotated[float, Field(ge=0, le=DIAL_MAX)] = 0.0
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    frozen: bool = False

    @property
    def dial(self) -> Dial | None:
        """The one that is set; None: `auto`."""
        return next((Dial(name, value) for name, value in self._set()), None)

    def _set(self) -> list[tuple[DialName, float]]:
        values = [(name, getattr(self, name)) for name in DIALS]
        return [(name, value) for name, value in values if value not in (None, "auto")]

    @model_validator(mode="after")
    def _one_dial(self) -> "ValueSection":
        names = [name for name, _ in self._set()]
        if len(names) > 1:
            raise ValueError(f"{' and '.join(names)} exclude each other; keep one of them")
        return self


class Stream(Section):
    """How streams go out: `verified` holds and judges, `direct` sends live, `auto` decides.

    `auto` sends live where a tier's accuracy, less one standard deviation, reaches `vouch_accuracy`
    and labels of at least `vouch_evidence` neighbours' weight stand behind it.
    """

    mode: StreamMode = "auto"
    vouch_accuracy: Fraction = 0.7
    vouch_evidence: Annotated[float, Field(ge=0)] = 3.0


class EmbedderSection(Section):
    """`static` needs nothing else; `fastembed` a model it knows, or a directory in `path`."""

    kind: Literal["static", "fastembed"] = "static"
    model: str = "BAAI/bge-small-en-v1.5"
    path: Path | None = None


class StoreSection(Section):
    """`path` holds the embedded store and the outbox; `url` names a Qdrant server instead.

    `upkeep_records`: how many new records make the embedded store worth re-indexing.
    """

    path: Path = Path("data")
    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = None
    api_key_env: str | None = None
    collection: Name = "autoshift"
    upkeep_records: Annotated[int, Field(ge=1)] = 10_000
    outbox_bytes: Annotated[int, Field(ge=4096)] = 256 * 1024 * 1024


class Keep(Section):
    """How long records are kept: so many days, and so many a tenant. None: without limit."""

    days: Positive | None = 90.0
    per_tenant: Annotated[int, Field(ge=1)] | None = 1_000_000


class RecordsSection(Section):
    """`text` is what is kept of the words: of the question, or with `exchange` the answer too."""

    text: Literal["none", "excerpt", "full", "exchange"] = "none"
    keep: Keep = Keep()


class Settings(BaseSettings):
    """Everything that can be set. Frozen; unknown keys are refused with their path."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    server: Server = Server()
    providers: dict[Name, Provider]
    tiers: Annotated[tuple[Tier, ...], Field(min_length=2)]
    aliases: dict[str, str] = {}
    passthrough: dict[Endpoint, str] = {}
    policy: str = "value"
    mode: ModeSetting = "route"
    shadow: ShadowSection = ShadowSection()
    tracing: TracingSection = TracingSection()
    value: ValueSection = ValueSection()
    llm_at: LlmAtSection = LlmAtSection()
    bandit: BanditSection = BanditSection()
    benchmark: BenchmarkSection = BenchmarkSection()
    emafusion: EmaFusionSection = EmaFusionSection()
    winrate: WinrateSection = WinrateSection()
    margin: MarginSection = MarginSection()
    best_of_n: BestOfNSection = BestOfNSection()
    inter_cascade: InterCascadeSection = InterCascadeSection()
    automix: AutoMixSection = AutoMixSection()
    target_error: TargetErrorSection = TargetErrorSection()
    cascade_routing: CascadeRoutingSection = CascadeRoutingSection()
    abstain: AbstainSection = AbstainSection()
    learner: LearnerSection = LearnerSection()
    own_policies: tuple[Path, ...] = ()
    judge: JudgeSection = JudgeSection()
    stream: Stream = Stream()
    embedder: EmbedderSection = EmbedderSection()
    store: StoreSection = StoreSection()
    records: RecordsSection = RecordsSection()
    keys: tuple[Key, ...] = ()
    limits: Limits = Limits()
    retries: RetriesSection = RetriesSection()
    breaker: BreakerSection = BreakerSection()
    seed: int | None = None
    simulated: bool = False

    @property
    def ladder(self) -> TierLadder:
        return TierLadder(self.tiers)

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as init arguments."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _guarded(self) -> "Settings":
        names = [key.name for key in self.keys]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"keys: the name {min(twice)!r} is used twice")
        open_to = [host for host in self.server.addresses if host not in LOOPBACK]
        if open_to and not self.keys:
            raise ValueError(
                f"server: host {open_to[0]!r} is not a loopback address, and there are no keys: "
                "whoever reaches it could spend your money; add keys, or bind 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        names = [tier.name for tier in self.tiers]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"tiers: the name {min(twice)!r} is used twice")
        if self.learner.enabled and LEARNER in names:
            raise ValueError(f"tiers: with learner.enabled, {LEARNER!r} is the small model's name")
        self.winrate.check(names)
        named = {(tier.name, u.provider): None for tier in self.tiers for u in tier.upstreams}
        for name, provider in named:
            if provider not in self.providers:
                raise ValueError(
                    f"tiers: {name!r} names the provider {provider!r}, which is not "
                    f"under providers ({', '.join(sorted(self.providers))})"
                )
        for endpoint, provider in self.passthrough.items():
            if provider not in self.providers:
                raise ValueError(
                    f"passthrough.{endpoint}: {provider!r} is not under providers "
                    f"({', '.join(sorted(self.providers))})"
                )
        allowed = {"next", "self", "none", *names}
        if self.judge.by is not None and self.judge.by not in allowed:
            raise ValueError(f"judge.by: {self.judge.by!r} is none of {', '.join(sorted(allowed))}")
        if self.shadow.tier is not None and self.shadow.tier not in names:
            raise ValueError(f"shadow.tier: {self.shadow.tier!r} is none of {', '.join(names)}")
        allowed = {"auto", "none", *names}
        if self.judge.arbiter not in allowed:
            raise ValueError(
                f"judge.arbiter: {self.judge.arbiter!r} is none of {', '.join(sorted(allowed))}"
            )
        return self
