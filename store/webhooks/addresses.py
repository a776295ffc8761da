"""Network addresses that webhooks may reach."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.settings import IPNetwork

    IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARACTERS: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}
#: Prefix of addresses that a translator maps to IPv4 (RFC 6052).
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def is_allowed(address: str, networks: Sequence[IPNetwork]) -> bool:
    """Return whether an IP address is public, or in one of the networks.

    An IPv6 address that stands for one of IPv4 is judged as that one.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # with a zone, as link-local ones have
        return False
    for candidate in _meanings(ip):
        is_public = candidate.is_global and not candidate.is_multicast and not candidate.is_reserved
        if not is_public and not any(candidate in network for network in networks):
            return False
    return True


def check_url(url: str, networks: Sequence[IPNetwork]) -> None:
    """Raise `ValueError` with the reason for which a URL cannot be that of a webhook.

    A name is resolved when something is sent, not here.
    """
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(
            f"must be a URL of ASCII characters (limit {MAX_URL_CHARACTERS:,}), without spaces; encode others with %"
        )
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and the name of a host")
    if parts.username is not None or parts.fragment:
        raise ValueError("must have neither a user nor a fragment; verify the signature instead of a password")
    if parts.port == 0:
        raise ValueError("has the port 0; leave it out, or name the one that the receiver listens on")
    host = parts.hostname
    if host == "localhost" or host.endswith(".localhost"):
        host = "127.0.0.1"
    if _is_numeric(host) and not is_allowed(host, networks):
        raise ValueError(f"{host} is not a public address; add its network to PLINTH_WEBHOOK_ALLOWED_NETWORKS")


def endpoint_of(url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and target of a request to a URL."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme], target


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _meanings(ip: IPAddress) -> list[IPAddress]:
    """Return an address, and the address of IPv4 that it contains."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip.sixtofour is not None:
        return [ip.sixtofour]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)]
    return [ip]
