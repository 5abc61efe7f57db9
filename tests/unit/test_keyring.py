"""Keys in the settings, and who is behind a presented one."""

import pytest

from app.accounts.keyring import UNKEYED, build_keyring
from app.errors import SettingsError
from app.settings.configuration import build_settings
from app.settings.keys import Key
from tests.support.gateway import Json
from tests.support.keys import SECRETS, keys_in

TIERS = [
    {"name": name, "provider": "p", "model": "m", "prior": 0.5, "price": {"input": 1, "output": 1}}
    for name in ("small", "large")
]
WORKING: Json = {"providers": {"p": {"base_url": "http://127.0.0.1:1/v1"}}, "tiers": TIERS}


def refusal(**more: object) -> str:
    with pytest.raises(SettingsError) as refused:
        build_settings({**WORKING, **more})
    return refused.value.message


def test_without_keys_everybody_is_the_one_local_tenant() -> None:
    keyring = build_keyring(())
    assert keyring.caller(None) is keyring.caller("anything") is UNKEYED
    assert UNKEYED.tenant == "local"
    assert keyring.tenants == {"local"}


def test_each_key_is_known_by_its_digest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = build_settings({**WORKING, "keys": keys_in(monkeypatch)})
    keyring = build_keyring(settings.keys)
    for name, secret in SECRETS.items():
        caller = keyring.caller(secret)
        assert caller is not None
        assert caller.name == name
        for wrong in (secret[:-1], secret + " ", secret.upper(), "", None):
            assert keyring.caller(wrong) is None
        assert secret not in repr(vars(keyring)) + repr(settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])  # noqa: S104 - what this is about
def test_with_keys_any_address_may_be_bound(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    server = {"host": host, "admin": {"host": host}}
    assert "add keys" in refusal(server=server)
    settings = build_settings({**WORKING, "server": server, "keys": keys_in(monkeypatch)})
    assert settings.server.addresses == (host, host)


def test_keys_that_cannot_be_told_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_in(monkeypatch)
    assert "'a-1' is used twice" in refusal(keys=[*keys, keys[0]])
    monkeypatch.setenv("KEY_B_1", SECRETS["a-1"])
    with pytest.raises(SettingsError, match="KEY_A_1 and KEY_B_1 hold the same key") as refused:
        build_keyring(build_settings({**WORKING, "keys": keys}).keys)
    assert SECRETS["a-1"] not in refused.value.message


def test_a_key_that_is_not_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    monkeypatch.setenv("THE_OLD_KEY", "0123456789abcdef")
    with pytest.raises(SettingsError, match=r"keys\.x: the environment variable NO_SUCH_KEY"):
        build_keyring([Key(name="x", key_env="NO_SUCH_KEY")])
    rotated = build_keyring([Key(name="x", key_env=("NO_SUCH_KEY", "THE_OLD_KEY"))])
    assert rotated.caller("0123456789abcdef") is not None


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ({"nam": "x"}, "did you mean 'name'?"),
        ({"key_env": "sk-this-is-a-key"}, "key_env"),
        ({"role": "king"}, "role"),
        ({"tenant": "a b"}, "tenant"),
        ({"limits": {"requests_per_minute": 0}}, "requests_per_minute"),
        ({"limits": {"usd_per_dai": 1}}, "usd_per_dai: unknown key"),
        ({"limits": {"usd_per_day": -1}}, "usd_per_day"),
    ],
)
def test_mistakes_in_keys_are_told_by_their_path(key: Json, says: str) -> None:
    message = refusal(keys=[{"name": "x", "key_env": "X", **key}])
    assert message.startswith("settings: keys.0.")
    assert says in message
    assert "sk-this" not in message
