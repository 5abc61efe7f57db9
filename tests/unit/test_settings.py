"""The configuration: the example loads, and whatever is wrong is told in one line."""

import os
import textwrap
from pathlib import Path

import pytest

from app.dials import Dial
from app.errors import SettingsError
from app.settings import Settings
from app.settings.configuration import load_settings, secret

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "autoshift.example.yaml"

WORKING = """
providers:
  openai: {base_url: "https://api.openai.com/v1", api_key_env: OPENAI_API_KEY}
tiers:
  - {name: small, provider: openai, model: gpt-5-nano, prior: 0.6}
  - {name: large, provider: openai, model: gpt-5, prior: 0.9}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing of ours is set but one key, whatever the machine's own environment holds."""
    for variable in [name for name in os.environ if name.startswith("AUTOSHIFT_")]:  # noqa: TID251
        monkeypatch.delenv(variable)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return monkeypatch


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def load(directory: Path, text: str) -> Settings:
    file = directory / "autoshift.yaml"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_settings(file)


def refusal(directory: Path, text: str) -> str:
    """The message with which this configuration is refused: always one line."""
    with pytest.raises(SettingsError) as refused:
        load(directory, text)
    message = refused.value.message
    assert "\n" not in message
    assert "pydantic" not in message
    return message


def test_the_example_loads_and_has_a_ladder_of_three() -> None:
    settings = load_settings(EXAMPLE)

    assert settings.ladder.names == ("small", "medium", "large")
    assert settings.policy == "value"
    assert settings.server.host == "127.0.0.1"
    key = secret(settings.providers["openai"].api_key_env, wanted_by="providers.openai")
    assert key is not None
    assert key.get_secret_value() == "sk-test"


def test_the_smallest_configuration_has_only_providers_and_tiers(directory: Path) -> None:
    assert load(directory, WORKING).ladder.names == ("small", "large")


def test_the_example_shows_every_default_as_it_is(directory: Path) -> None:
    """Uncommented, the example means the same: its commented defaults are the defaults."""
    commented = EXAMPLE.read_text(encoding="utf-8").partition("# How the ladder is driven")[2]
    lines = [line.removeprefix("# ") for line in commented.splitlines()]
    settings_lines = [
        line for line in lines if line.startswith("  ") or line.partition(":")[0] in SECTIONS
    ]

    shown = load(directory, WORKING + "\n".join(settings_lines))

    assert shown == load(directory, WORKING)


SECTIONS = frozenset(Settings.model_fields)


def test_no_file_and_no_variable_names_both_examples() -> None:
    with pytest.raises(SettingsError, match=r"autoshift\.example\.yaml.*sandbox\.yaml"):
        load_settings()


def test_the_variable_names_the_file(directory: Path, environment: pytest.MonkeyPatch) -> None:
    load(directory, WORKING)
    environment.setenv("AUTOSHIFT_CONFIG", str(directory / "autoshift.yaml"))

    assert load_settings().ladder.names == ("small", "large")


def test_a_file_that_is_not_there_is_named(directory: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_settings(directory / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tiers: [", "malformed YAML in line 1"),
        ("a: b: c", "malformed YAML in line 1, column 5"),
        ("- one\n- two", "must be a mapping"),
        ("", "must be a mapping"),
        ("1: one", "must be a mapping"),
    ],
)
def test_what_is_not_a_yaml_mapping_is_refused_with_its_place(
    directory: Path, text: str, says: str
) -> None:
    assert says in refusal(directory, text)


def test_bytes_that_are_not_utf8_are_refused(directory: Path) -> None:
    (directory / "latin.yaml").write_bytes("policy: größer".encode("latin-1"))

    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(directory / "latin.yaml")


@pytest.mark.parametrize(
    ("addition", "says"),
    [
        ("polcy: llm_at", "polcy: unknown key; did you mean 'policy'?"),
        ("server: {prot: 8080}", "server.prot: unknown key; did you mean 'port'?"),
        ("llm_at: {treshold: 0.5}", "llm_at.treshold: unknown key; did you mean 'threshold'?"),
        ("colour: red", "colour: unknown key"),
    ],
)
def test_an_unknown_key_is_refused_with_its_path_and_a_guess(
    directory: Path, addition: str, says: str
) -> None:
    assert says in refusal(directory, WORKING + addition)


def test_an_unknown_key_of_a_tier_is_refused_with_a_guess(directory: Path) -> None:
    message = refusal(directory, WORKING.replace("prior: 0.9", "prior: 0.9, suports: [tools]"))

    assert "tiers.1.suports: unknown key; did you mean 'supports'?" in message


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("provider: openai, model: gpt-5,", "model: gpt-5,", "tiers.1.provider: is missing"),
        ("provider: openai, model: gpt-5,", "provider: azure, model: gpt-5,", "'azure'"),
        ("name: large", "name: small", "'small' is used twice"),
        ("  - {name: large, provider: openai, model: gpt-5, prior: 0.9}", "", "at least 2"),
        ("prior: 0.9", "prior: 90", "tiers.1.prior: Input should be less than 1"),
        ("name: large", "name: la/rge", "tiers.1.name: "),
        ("https://api.openai.com/v1", "https://user:pass@host/v1", "providers.openai.base_url: "),
    ],
)
def test_a_wrong_ladder_is_refused(directory: Path, before: str, after: str, says: str) -> None:
    assert before in WORKING
    message = refusal(directory, WORKING.replace(before, after))

    assert says in message
    assert "pass" not in message


@pytest.mark.parametrize("key", ["by", "arbiter"])
def test_who_judges_must_be_a_tier_or_a_known_word(directory: Path, key: str) -> None:
    message = refusal(directory, WORKING + f"judge: {{{key}: huge}}")
    assert f"judge.{key}: 'huge' is none of" in message
    assert "large" in message


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        ("{valid_if_right: 0.5, valid_if_wrong: 0.4}", "such a judge tells nothing"),
        ("{valid_if_right: 0.1, valid_if_wrong: 0.9}", "such a judge tells nothing"),
        ("{valid_if_right: 95, valid_if_wrong: 0.2}", "valid_if_right: Input should be less"),
        ("{valid_if_right: 0.9}", "valid_if_wrong: is missing"),
    ],
)
def test_how_well_judges_judge_must_tell_something(directory: Path, prior: str, says: str) -> None:
    message = refusal(directory, WORKING + f"judge: {{prior: {prior}}}")
    assert "judge.prior" in message
    assert says in message


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "192.168.1.5", "example.com", "::"],  # noqa: S104 - they are refused
)
def test_an_address_others_can_reach_is_refused_while_there_are_no_keys(
    directory: Path, host: str
) -> None:
    for section in (f"server: {{host: '{host}'}}", f"server: {{admin: {{host: '{host}'}}}}"):
        assert "not a loopback address" in refusal(directory, WORKING + section)


def test_how_long_records_are_kept_can_be_set(directory: Path) -> None:
    keep = load(directory, WORKING + "records: {keep: {days: null, per_tenant: 500}}").records.keep
    assert (keep.days, keep.per_tenant) == (None, 500)
    assert "days" in refusal(directory, WORKING + "records: {keep: {days: 0}}")


@pytest.mark.parametrize(
    ("section", "dial"),
    [
        ("{}", None),
        ("{quality_per_dollar: auto}", None),
        ("{quality_per_dollar: 0}", Dial("quality_per_dollar", 0.0)),
        ("{usd_per_1000: 2.5}", Dial("usd_per_1000", 2.5)),
        ("{quality_per_dollar: auto, keep_quality: 0.98}", Dial("keep_quality", 0.98)),
    ],
)
def test_the_value_policy_has_one_dial(directory: Path, section: str, dial: Dial | None) -> None:
    assert load(directory, WORKING + f"value: {section}").value.dial == dial


def test_two_dials_at_once_are_refused(directory: Path) -> None:
    message = refusal(directory, WORKING + "value: {usd_per_1000: 3, keep_quality: 0.98}")

    assert "usd_per_1000 and keep_quality exclude each other" in message


@pytest.mark.parametrize(
    "setting",
    [
        "usd_per_1000: 0",
        "usd_per_1000: .inf",
        "keep_quality: 1.2",
        "keep_quality: 0",
        "usd_per_second: -1",
    ],
)
def test_a_dial_beyond_its_range_is_refused(directory: Path, setting: str) -> None:
    assert f"value.{setting.partition(':')[0]}" in refusal(
        directory, WORKING + f"value: {{{setting}}}"
    )


@pytest.mark.parametrize(
    ("upstreams", "told"),
    [
        ("[]", "tiers.0: upstreams must be a list"),
        ("{provider: p}", "tiers.0: upstreams must be a list"),
        ("[{provider: openai}]", "tiers.0.model: is missing"),
        ("[{provider: openai, model: m, modle: x}]", "tiers.0.upstreams.0.modle: unknown key"),
        ("[{provider: gone, model: m}]", "names the provider 'gone'"),
        (
            "[{provider: openai, model: m}, {provider: openai, model: m}]",
            "'openai/m' is there twice",
        ),
    ],
)
def test_a_tiers_upstreams_must_make_sense(directory: Path, upstreams: str, told: str) -> None:
    short = "provider: openai, model: gpt-5-nano"

    assert told in refusal(directory, WORKING.replace(short, f"upstreams: {upstreams}"))


def test_a_tier_has_either_one_upstream_or_a_list(directory: Path) -> None:
    listed = "upstreams: [{provider: openai, model: b}]"

    assert "either provider and model, or upstreams" in refusal(
        directory, WORKING.replace("prior: 0.6", f"prior: 0.6, {listed}")
    )


def test_the_environment_wins_over_the_file(
    directory: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AUTOSHIFT_STORE__PATH", "/var/lib/autoshift")
    environment.setenv("AUTOSHIFT_SERVER__PORT", "9999")

    settings = load(directory, WORKING + "store: {path: here, collection: mine}")

    assert settings.store.path == Path("/var/lib/autoshift")
    assert settings.store.collection == "mine"
    assert settings.server.port == 9999


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("AUTOSHIFT_STORE__PAHT", "did you mean AUTOSHIFT_STORE__PATH?"),
        ("AUTOSHIFT_SEVER__PORT", "did you mean AUTOSHIFT_SERVER"),
        ("AUTOSHIFT_STORE_PATH", "no such setting"),
        ("AUTOSHIFT_LIMITS__URI", "did you mean AUTOSHIFT_LIMITS__URL?"),
    ],
)
def test_a_misspelt_variable_is_refused(
    directory: Path, environment: pytest.MonkeyPatch, variable: str, says: str
) -> None:
    environment.setenv(variable, "1")

    message = refusal(directory, WORKING)

    assert variable in message
    assert says in message


def test_a_wrong_value_in_a_variable_is_refused_with_its_path(
    directory: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AUTOSHIFT_SERVER__PORT", "eighty")

    assert "server.port: " in refusal(directory, WORKING)


def test_a_variable_that_should_hold_json_and_does_not_is_refused_in_one_line(
    directory: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AUTOSHIFT_TIERS", "[{")

    assert "tiers" in refusal(directory, WORKING).lower()


@pytest.mark.parametrize(
    "addition", ["stream: {mode: [verified]}", "judge: {by: {a: b}}", '"ser\\nver": 1', "tiers: 3"]
)
def test_a_value_of_the_wrong_kind_is_refused_in_one_line(directory: Path, addition: str) -> None:
    assert refusal(directory, WORKING + addition)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_told_by_its_variable(
    environment: pytest.MonkeyPatch, value: str | None
) -> None:
    environment.delenv("OPENAI_API_KEY")
    if value is not None:
        environment.setenv("OPENAI_API_KEY", value)

    with pytest.raises(SettingsError) as refused:
        secret("OPENAI_API_KEY", wanted_by="providers.openai")

    assert "providers.openai" in refused.value.message
    assert "OPENAI_API_KEY is not set" in refused.value.message


def test_a_provider_without_a_key_needs_none() -> None:
    assert secret(None, wanted_by="providers.local") is None


def test_a_key_is_never_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENAI_API_KEY", "sk-very-secret")

    assert "sk-very-secret" not in repr(secret("OPENAI_API_KEY", wanted_by="x"))


def test_a_secret_written_into_the_file_is_refused_and_not_repeated(directory: Path) -> None:
    message = refusal(
        directory, WORKING.replace("api_key_env: OPENAI_API_KEY", "api_key: sk-leaked-by-mistake")
    )

    assert "sk-leaked" not in message
    assert "did you mean 'api_key_env'?" in message
