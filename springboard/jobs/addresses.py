"""Which addresses a webhook may be at: by default none of this machine's or of its neighbours'."""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

# Where clouds tell an instance its credentials, all of link-local among them: no list opens these.
_NEVER = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32")))
# RFC 6052: IPv6 addresses that a gateway takes to the IPv4 address in their last 32 bits.
_NAT64 = ip_network("64:ff9b::/96")


class NotAllowed(Exception):
    """A host has no address that may be connected to; the message says which it has."""


def resolve(host: str, port: int, networks: Iterable[str]) -> str:
    """Return an address of a host that may be connected to; raise `NotAllowed`, OSError.

    It may if all of the internet can have it, or if it lies in one of `networks`. Whoever connects must do so
    to what is returned: the next answer for the name may be another.
    """
    try:
        told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise NotAllowed(f"{host} is no host's name: {error}") from error
    addresses = list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in told))
    for address in addresses:
        if allowed(ip_address(address), networks):
            return address
    raise NotAllowed(
        f"{host} is at {', '.join(addresses)}, which is not of the public internet; async.webhook.networks "
        "may allow private networks, but never the link-local ones"
    )


def allowed(address: Address, networks: Iterable[str]) -> bool:
    """Whether it may be connected to, see `resolve`."""
    meant = [address, *_inside(address)]
    if any(one in never for one in meant for never in _NEVER):
        return False
    if any(one in ip_network(network) for one in meant for network in networks):
        return True
    return all(one.is_global and not one.is_multicast for one in meant)


def _inside(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
