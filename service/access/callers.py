"""The caller of a request: an API key, this machine itself, or an address; no claim of a client is trusted."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope as Connection

from core.errors import ConfigError
from service.access.forwarded import Hop, hops
from service.access.keybook import Key, Scope

FORWARDING: Final = ("x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host")
IPV6_SITE_BITS: Final = 64
"""Prefix length of one subscriber: all IPv6 addresses behind it count as one caller."""

ProxyHeaders = Literal["auto", "x-forwarded", "forwarded"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Caller:
    """The caller of one request.

    Attributes:
        address: of the client; `?` where the server does not know it.
        is_local: a program of this machine itself, by no proxy and for no foreign web page.
        key: the valid key of the request, None without one.
        is_refused: the request has a key that is not valid.
    """

    address: str
    is_local: bool
    key: Key | None = None
    is_refused: bool = False

    @property
    def name(self) -> str:
        """Return the name under which requests are counted and logged."""
        return f"key:{self.key.id}" if self.key else f"address:{_site(self.address)}"

    def allows(self, scope: Scope) -> bool:
        """Return whether this caller has a scope; on this machine all but administration needs no key."""
        if self.key:
            return self.key.allows(scope)
        return scope == "read" or (self.is_local and scope == "forecast")


def trusted_networks(proxies: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of the setting `trusted_proxies`.

    Raises:
        ConfigError: an entry is neither an address nor a network.
    """
    try:
        return tuple(ipaddress.ip_network(proxy) for proxy in proxies)
    except ValueError as err:
        raise ConfigError(f"trusted_proxies: expected addresses or networks such as 10.0.0.0/8, got: {err}") from err


def caller_from(connection: Connection, trusted: Sequence[Network], kind: ProxyHeaders = "auto") -> Caller:
    """Return the caller of a request, without its key.

    Args:
        connection: of the request.
        trusted: networks of proxies.
        kind: of the headers that they write.
    """
    headers = Headers(scope=connection)
    peer = (connection.get("client") or ("?", 0))[0]
    is_forwarded = any(name in headers for name in FORWARDING)
    if is_in(peer, trusted):
        return Caller(_forwarded(headers, peer, trusted, kind), is_local=False)
    # HTTP/1.0 is what nginx speaks to a server by default; programs of this machine speak 1.1
    is_direct = not is_forwarded and connection.get("http_version") != "1.0"
    return Caller(peer, is_direct and is_loopback(peer) and _is_for_this_machine(headers))


def outermost_hop(headers: Headers, trusted: Sequence[Network], kind: ProxyHeaders = "auto") -> Hop | None:
    """Return what the outermost trusted proxy states in `Forwarded`: what precedes it is the client's invention.

    None without that header, and where the proxies state theirs in `X-Forwarded-*`: `Forwarded` is then the client's.

    Args:
        headers: of the request.
        trusted: networks of proxies.
        kind: of the headers that they write.
    """
    stated = any(f"x-forwarded-{name}" in headers for name in ("for", "proto", "host", "prefix"))
    if kind == "x-forwarded" or (kind == "auto" and stated):
        return None
    return _outermost(headers, trusted)


def _outermost(headers: Headers, trusted: Sequence[Network]) -> Hop | None:
    found = hops(headers.getlist("forwarded"))
    return next((hop for hop in reversed(found) if not is_in(hop.address, trusted)), found[0] if found else None)


def key_in(headers: Headers) -> str | None:
    """Return the key of `X-API-Key` or of `Authorization: Bearer`, None without one."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if kind.lower() == "bearer" else None)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_for_this_machine(headers: Headers) -> bool:
    """Return False for another site's page in a local browser, and for a foreign name that resolves to here."""
    origin = headers.get("origin")
    try:
        host = urlsplit(f"//{headers.get('host', '')}")
        return is_loopback(host.hostname or "") and (origin is None or urlsplit(origin).netloc == host.netloc)
    except ValueError:  # no address, such as "http://["
        return False


def _forwarded(headers: Headers, peer: str, trusted: Sequence[Network], kind: ProxyHeaders) -> str:
    """Return the last address of the chain that is no trusted proxy: its sender could have invented those before it.

    Where it is not known which of two kinds of headers the proxy has written, and they differ, it is the proxy's own.
    """
    hop = outermost_hop(headers, trusted, kind)
    if hop is not None:
        return hop.address or peer
    if kind == "forwarded":
        return peer
    chain = [each.strip() for field in headers.getlist("x-forwarded-for") for each in field.split(",")]
    client = next((each for each in reversed(chain) if not is_in(each, trusted)), peer)
    other = _outermost(headers, trusted) if kind == "auto" else None
    return client if other is None or other.address == client else peer


def is_in(host: str, networks: Sequence[Network]) -> bool:
    """Return whether an address is in one of the networks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _site(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, IPV6_SITE_BITS), strict=False))
