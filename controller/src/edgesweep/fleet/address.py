"""Addresses of devices: `host:port`, checked before anything is dialled."""

from __future__ import annotations

import ipaddress

_LAST_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `1.2.3.4:port` or `[v6]:port`.

    Raises:
        ValueError: with a sentence that says what is wrong.
    """
    host, sign, port = address.rpartition(":")
    if not sign or not host:
        raise ValueError(f"address {address!r} has no port: write host:port, e.g. 192.168.1.20:50051")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
        raise ValueError(f"address {address!r} has no usable port: {port!r} is not a number from 1 to {_LAST_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError as error:
            raise ValueError(f"address {address!r} holds no IPv6 address in its brackets") from error
    elif any(sign.isspace() or sign in "/@?#" for sign in host):
        raise ValueError(f"address {address!r} is not a host and a port: {host!r} cannot be a host name")
    elif ":" in host:
        raise ValueError(f"address {address!r} is ambiguous: write an IPv6 address in brackets, e.g. [fe80::1]:{port}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether `host` is this very machine by its address alone (no look-up)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
