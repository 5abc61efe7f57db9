"""Which addresses a provider may have: whoever can write a DNS answer must not choose for us.

Private ones are usual: that is where Ollama, vLLM and llama.cpp run. Link-local ones are not: there
a cloud's metadata service hands out the machine's own credentials to whoever asks.
"""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal, TypeAlias

Addresses: TypeAlias = Literal["public", "private", "any"]
"""Where a provider may be: `private` takes in `public`, and `any` also cloud metadata services."""

_METADATA = tuple(
    ip_network(network)
    for network in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32")
)
"""Of clouds whose metadata service is not at a link-local address: Alibaba, Azure, Oracle, AWS."""


def is_literal(host: str) -> bool:
    """Whether this is an address, not a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_refused(address: str, allowed: Addresses) -> bool:
    """Whether a provider must not be at this IP address."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if allowed == "any":
        return False
    nobody = ip.is_link_local or ip.is_unspecified or ip.is_multicast
    if nobody or any(ip in network for network in _METADATA):
        return True
    return allowed == "public" and not ip.is_global
