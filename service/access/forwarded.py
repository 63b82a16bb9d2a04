"""The header `Forwarded` (RFC 7239): what each proxy on the way states of the request that it received."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PAIR: Final = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]*))')
_PORT: Final = re.compile(r":[0-9_a-zA-Z.-]{1,32}$")


@dataclass(frozen=True)
class Hop:
    """What one proxy states; empty where it states nothing.

    Attributes:
        address: `for`, without its port.
        proto: http or https.
        host: `Host` of the request that the proxy received.
    """

    address: str
    proto: str
    host: str


def hops(fields: Sequence[str]) -> list[Hop]:
    """Return the elements of all `Forwarded` headers of a request, the outermost proxy's first."""
    elements = [element for field in fields for element in _ELEMENT.findall(field)]
    return [_hop(element) for element in elements if element.strip()]


def _hop(element: str) -> Hop:
    pairs = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in _PAIR.findall(element)}
    return Hop(_address(pairs.get("for", "")), pairs.get("proto", ""), pairs.get("host", ""))


def _address(node: str) -> str:
    """Return the address of a node such as 192.0.2.1:80, [2001:db8::1]:80 or _hidden."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return _PORT.sub("", node) if node.count(":") == 1 else node
