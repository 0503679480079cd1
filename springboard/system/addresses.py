"""Addresses of machines, in whichever of their spellings they come."""

from ipaddress import IPv4Address, IPv6Address, ip_address


def read(host: str) -> IPv4Address | IPv6Address | None:
    """Return an address as what it is; None for a name.

    On a socket for both families an IPv4 caller is `::ffff:127.0.0.1`, which Python before 3.13 does not take
    for loopback; an IPv6 address may name its interface (`::1%lo`).
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own; of names only localhost is."""
    address = read(host)
    return host.lower() == "localhost" if address is None else address.is_loopback
