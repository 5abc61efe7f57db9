"""Where a provider may be, and where it must not."""

import pytest

from app.addresses import is_literal, is_refused
from app.upstreams.resolver import CheckedResolver

METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",  # noqa: S104 - it is refused
    "::",
    "224.0.0.1",
)
PRIVATE = (
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.5",
    "fd12:3456::1",
    "100.64.0.1",
)
PUBLIC = ("8.8.8.8", "2606:4700::1111")


def test_metadata_services_are_no_providers_and_private_networks_may_hold_some() -> None:
    for address in METADATA:
        assert is_refused(address, "private"), address
        assert is_refused(address, "public"), address
        assert not is_refused(address, "any"), address
    for address in PRIVATE:
        assert not is_refused(address, "private"), address
        assert is_refused(address, "public"), address
    for address in PUBLIC:
        assert not is_refused(address, "public"), address


def test_a_name_is_no_address() -> None:
    assert is_literal("127.0.0.1")
    assert is_literal("fe80::1%eth0")
    for name in ("localhost", "example.com", "2852039166", ""):
        assert not is_literal(name), name


@pytest.mark.anyio
async def test_names_are_checked_where_they_lead_to_and_not_how_they_are_written() -> None:
    resolver = CheckedResolver({"localhost": "public"})
    with pytest.raises(OSError, match="must not have"):
        await resolver.resolve("LOCALHOST", 80)
    with pytest.raises(OSError, match="must not have"):
        await resolver.resolve("2852039166", 80)  # 169.254.169.254 as one number
    found = await CheckedResolver({}).resolve("localhost", 80)
    assert {each["host"] for each in found} <= {"127.0.0.1", "::1"}
