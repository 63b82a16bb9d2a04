"""HTTPS to receivers that users name: no private address unless allowed, no redirect, and a limit to the whole time.

Plain HTTP is for the networks that the operator allows: elsewhere it would show a rule and its place to the way.

The address is checked where the connection is made, so that a name that resolves to another address a moment later,
and a redirect, cannot lead into the server's own network.
"""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore2

from core.errors import InputError, shown
from core.retry import retry_after_s
from core.settings import Settings
from service.access.callers import Network, is_in, trusted_networks
from service.alerts.channels.base import DeliveryError

WHOLE_S: Final = 10.0
"""Longest time of one request, however slowly the receiver answers."""

GONE: Final = 410
OWN: Final = tuple(
    ipaddress.ip_network(one) for one in ("192.0.0.0/24", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10")
)
"""Networks of no public host that Python 3.11 takes for global: of protocols (RFC 6890), IPv4 in IPv6 (RFC 4291, 2765),
of a site's own translator (RFC 8215), site-local (RFC 3879)."""

NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""A translator connects to the IPv4 address in the last 32 bits (RFC 6052)."""

Resolve = Callable[[str, int], Sequence[str]]


def resolved(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def resolved_within(resolve: Resolve, host: str, port: int, limit_s: float) -> Sequence[str]:
    """Return the addresses of a host, each once.

    The system's own limit is up to a minute, which a name server of the receiver's choice can use up. Its look-up goes
    on in a thread of its own, which ends with that limit.

    Raises:
        ConnectError: it has none.
        ConnectTimeout: its name servers do not answer in time.
    """
    answers: SimpleQueue[Sequence[str]] = SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(list(dict.fromkeys(resolve(host, port))))
        except (OSError, UnicodeError):  # a label of no or too many letters is a UnicodeError
            answers.put([])

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        found = answers.get(timeout=max(0.0, limit_s))
    except Empty as err:
        raise httpcore2.ConnectTimeout(f"the name servers of {host} do not answer") from err
    if not found:
        raise httpcore2.ConnectError(f"{host} has no address")
    return found


def is_public(address: str, allowed: Sequence[Network]) -> bool:
    """Return whether alerts may be sent to an address: one of the public internet, or one that is allowed."""
    if is_in(address, allowed):
        return True
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None)
    if parsed in NAT64:
        inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
    if any(one in network for one in (parsed, inner) if one is not None for network in OWN):
        return False
    return bool(parsed.is_global and not parsed.is_multicast and (inner is None or inner.is_global))


def is_plain(text: str) -> bool:
    """Return whether a text is printable ASCII without spaces, as URLs and the values of headers have to be."""
    return all("!" <= letter <= "~" for letter in text)


def check_url(url: str, settings: Settings, field: str = "targets.url") -> None:
    """Check a URL as far as that is possible without a connection.

    Raises:
        InputError: not https (or http to an allowed network), with a user name, or a private address.
    """
    if not is_plain(url):
        raise InputError(f"{field}: expected ASCII without spaces (%-encoded; hosts as xn--...), got {shown(url)}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as err:
        raise InputError(f"{field}: expected a URL, got {shown(url)}") from err
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.password:
        raise InputError(f"{field}: expected https://HOST/... without a user name, got {shown(url)}")
    allowed = trusted_networks(settings.alert_networks)
    is_allowed = bool(allowed)  # a name's address is known when a message is sent
    with suppress(ValueError):
        ipaddress.ip_address(host)
        is_allowed = is_in(host, allowed)
        if not is_public(host, allowed):
            raise InputError(f"{field}: expected a public address, or one of NOWCAST_ALERT_NETWORKS, got {host}")
    if host.lower() == "localhost" and not any(is_in(one, allowed) for one in ("127.0.0.1", "::1")):
        raise InputError(f"{field}: expected a public address, or one of NOWCAST_ALERT_NETWORKS, got {host}")
    if parts.scheme == "http" and not is_allowed:
        raise InputError(f"{field}: expected https (http to NOWCAST_ALERT_NETWORKS alone), got {shown(url)}")


class LimitedStream(httpcore2.NetworkStream):
    """A connection whose reads and writes end by a deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline_s: float) -> None:
        self._stream, self._deadline_s = stream, deadline_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline counts
        """Read some bytes."""
        return self._stream.read(max_bytes, self._left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Write bytes."""
        self._stream.write(buffer, self._left_s())

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        """Return the encrypted connection."""
        return LimitedStream(self._stream.start_tls(ssl_context, server_hostname, self._left_s()), self._deadline_s)

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._stream.get_extra_info(info)

    def _left_s(self) -> float:
        left_s = self._deadline_s - monotonic()
        if left_s <= 0:
            raise httpcore2.ReadTimeout(f"not done within {WHOLE_S:.0f} s")
        return left_s


class PublicBackend(httpcore2.NetworkBackend):
    """Connects to public and allowed addresses alone, without encryption to allowed ones alone, within `WHOLE_S`."""

    def __init__(self, allowed: Sequence[Network], resolve: Resolve, *, encrypted: bool) -> None:
        self._allowed, self._resolve, self._encrypted = allowed, resolve, encrypted
        self._deadline_s = monotonic() + WHOLE_S
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of a host that answers: to one that was checked, not resolved again."""
        found = resolved_within(self._resolve, host, port, self._deadline_s - monotonic())
        self._check(host, found)
        for index, address in enumerate(found):
            share_s = (self._deadline_s - monotonic()) / (len(found) - index)
            try:
                stream = self._plain.connect_tcp(address, port, max(0.1, share_s), local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if index == len(found) - 1:
                    raise
            else:
                return LimitedStream(stream, self._deadline_s)
        raise httpcore2.ConnectError(f"{host} has no address")

    def _check(self, host: str, found: Sequence[str]) -> None:
        for address in found:
            if not is_public(address, self._allowed):
                raise RefusedAddressError(f"{host} has the private address {address}")
        if not self._encrypted and not all(is_in(address, self._allowed) for address in found):
            raise RefusedAddressError(f"{host} has a public address and no https")


class RefusedAddressError(httpcore2.ConnectError):
    """The host has an address of the server's own network, or a public one for what is not encrypted."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    settings: Settings,
    *,
    method: str = "POST",
    final: Collection[int] = (GONE,),
    resolve: Resolve = resolved,
) -> None:
    """Send a request, and take any answer of 200 to 299 for success; the answer's body is not read.

    After an answer of `final` a further attempt makes no sense.

    Raises:
        DeliveryError: any other answer, or none.
    """
    parts = urlsplit(url)
    backend = PublicBackend(trusted_networks(settings.alert_networks), resolve, encrypted=parts.scheme == "https")
    sent = [(name.encode(), value.encode()) for name, value in {**headers, "Host": parts.netloc}.items()]
    try:
        with (
            httpcore2.ConnectionPool(network_backend=backend) as pool,
            pool.stream(method, url, headers=sent, content=body) as answer,
        ):
            status, found = answer.status, answer.headers
    except RefusedAddressError as err:
        raise DeliveryError(f"{err}, which NOWCAST_ALERT_NETWORKS does not allow", is_final=True) from err
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as err:
        raise DeliveryError(f"no answer: {type(err).__name__}: {err}", blocks_host=True) from err
    except httpcore2.UnsupportedProtocol as err:
        raise DeliveryError(f"not a URL: {err}", is_final=True) from err
    if 200 <= status < 300:
        return
    known = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in found}
    what = "a redirect, which is not followed" if 300 <= status < 400 else f"status {status}"
    raise DeliveryError(f"the receiver answered {what}", is_final=status in final, retry_after_s=retry_after_s(known))
