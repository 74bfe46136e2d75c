"""Listening on this machine: which hosts are loopback, which pages may connect, and a port that is taken."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket

from laban.errors import LabanError

LOOPBACK = "127.0.0.1"
LOOPBACK_ORIGIN = re.compile(r"https?://(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
"""`Origin` headers of pages that this machine itself serves; a page from anywhere else gives its own."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def may_connect(origin: str | None, host_header: str | None, listening_on: str) -> bool:
    """Whether a request is no page of a stranger's: browsers name the page's origin, other programs give none.

    Accepted: no origin, a loopback origin, and, when more than this machine may connect, pages of the server itself.
    """
    if origin is None or LOOPBACK_ORIGIN.fullmatch(origin):
        return True
    return not is_loopback(listening_on) and host_header is not None and origin.partition("://")[2] == host_header


def listen(host: str, port: int, option: str) -> socket.socket:
    """A TCP socket that listens; port 0 takes any free one. LabanError, naming `option`, when that cannot be."""
    if not 0 <= port <= 65535:
        raise LabanError(f"{option} {port}; accepted: 1 to 65535, or 0 for any free port")
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(64)
        return listening
    except OSError as error:
        if listening is not None:
            listening.close()
        if error.errno == errno.EADDRINUSE:
            said = f"port {port} of {host} is in use; accepted: a free port ({option} 0 takes any)"
        else:
            said = f"cannot listen on {host} port {port} ({error.strerror or error})"
        raise LabanError(f"{option} {port}: {said}") from None
