"""Why a device cannot be reached: one plain connection with Python's own TLS, which names the reason.

gRPC reports a refused handshake and a dead host alike as UNAVAILABLE, and with `wait_for_ready` as a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.address import split_address
from edgesweep.fleet.identity import Identity
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.names import verified_name

#: OpenSSL's X509_V_ERR_* numbers, as `ssl.SSLCertVerificationError.verify_code` gives them.
_NOT_YET_VALID = 9
_EXPIRED = 10
_WRONG_NAME = 62
_SET_CLOCK = "set the clock of the board, e.g. `sudo timedatectl set-ntp true`"
_NO_SUCH_CA = frozenset({2, 7, 18, 19, 20, 21})


class _SilentRefusalError(ssl.SSLError):
    """The device closed the connection when it had seen our certificate; gRPC's servers send no alert."""


async def explain(entry: DeviceEntry, identity: Identity | None, timeout_s: float) -> EdgesweepError | None:
    """The reason why `entry` cannot be spoken to, or `None` when a connection works.

    Args:
        entry: the device.
        identity: this controller's certificate; `None` for an insecure entry.
        timeout_s: seconds for the whole look.

    Returns:
        `unreachable` when nothing answers, `handshake_refused` when TLS failed, with a sentence of its own.
    """
    host, port = split_address(entry.address)
    try:
        async with asyncio.timeout(timeout_s):
            if entry.insecure or identity is None:
                return await _explain_plain(entry, host, port)
            await _shake_hands(host, port, identity.context(), verified_name(entry.name))
    except ssl.SSLCertVerificationError as error:
        return _refused_by_us(entry, error)
    except ssl.SSLError as error:
        return _refused_by_device(entry, error)
    except TimeoutError:
        return unreachable(entry, f"no answer within {timeout_s:g} s")
    except OSError as error:
        return unreachable(entry, _reason(error))
    return None


def unreachable(entry: DeviceEntry, reason: str) -> EdgesweepError:
    """The error for a device that does not answer."""
    return EdgesweepError("unreachable", f"device {entry.name!r} at {entry.address} does not answer: {reason}")


async def _shake_hands(host: str, port: int, context: ssl.SSLContext, name: str | None) -> None:
    # With TLS 1.3 the device judges our certificate only after our side of the handshake is done: its verdict (or gRPC's
    # first frame) comes with the first read. Nothing may be written before, or the verdict is lost in a reset.
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    try:
        if not await reader.read(1):
            raise _SilentRefusalError
    finally:
        # A polite end would wait for the device's own.
        writer.transport.abort()


async def _explain_plain(entry: DeviceEntry, host: str, port: int) -> EdgesweepError | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(host, port)
    writer.close()
    del reader
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=entry.name)
    except (ssl.SSLError, ConnectionResetError):
        return None
    writer.transport.abort()
    return EdgesweepError(
        "handshake_refused",
        f"device {entry.name!r} at {entry.address} speaks TLS, but the inventory marks it insecure",
        remedy="take `insecure: true` out of the inventory",
    )


def _refused_by_us(entry: DeviceEntry, error: ssl.SSLCertVerificationError) -> EdgesweepError:
    who = f"the certificate of device {entry.name!r} at {entry.address}"
    again = f"issue it again with `edgesweep pki issue {entry.name}` and copy it to the board"
    code = error.verify_code
    if code == _EXPIRED:
        return EdgesweepError("handshake_refused", f"{who} has expired", remedy=again)
    if code == _NOT_YET_VALID:
        return EdgesweepError(
            "handshake_refused",
            f"{who} is not yet valid by this host's clock",
            remedy="set the clock of this host; if it is right, " + again,
        )
    if code == _WRONG_NAME:
        return EdgesweepError(
            "handshake_refused",
            f"{who} is not for {verified_name(entry.name)}: another device answers there",
            remedy="correct the name or the address in the inventory, or " + again,
        )
    if code in _NO_SUCH_CA:
        return EdgesweepError(
            "handshake_refused",
            f"{who} comes from another certificate authority than this controller's: no such CA is known here",
            remedy=again,
        )
    return EdgesweepError("handshake_refused", f"{who} is refused: {error.verify_message}", remedy=again)


def _refused_by_device(entry: DeviceEntry, error: ssl.SSLError) -> EdgesweepError:
    who = f"device {entry.name!r} at {entry.address}"
    reason = (getattr(error, "reason", None) or str(error)).upper()
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason or "HTTP_REQUEST" in reason:
        return EdgesweepError(
            "handshake_refused",
            f"{who} speaks no TLS",
            remedy="start its agent with --tls-dir",
        )
    if "EXPIRED" in reason:
        sentence = f"{who} says that this controller's certificate has expired: the clock of the board may be ahead"
        return EdgesweepError("handshake_refused", sentence, remedy=_SET_CLOCK)
    if "UNKNOWN_CA" in reason:
        return EdgesweepError(
            "handshake_refused",
            f"{who} knows no such CA as the one that issued this controller's certificate",
            remedy=f"issue the device's certificate here: `edgesweep pki issue {entry.name}`, and copy it to the board",
        )
    if isinstance(error, _SilentRefusalError) or "BAD_CERTIFICATE" in reason:
        return _refused_silently(entry)
    return EdgesweepError("handshake_refused", f"{who} refuses the TLS handshake: {reason.lower().replace('_', ' ')}")


def _refused_silently(entry: DeviceEntry) -> EdgesweepError:
    # Its own certificate was good and ours is checked before it is used: what is left is the board's clock or its ca.pem.
    return EdgesweepError(
        "handshake_refused",
        f"device {entry.name!r} at {entry.address} refuses this controller's certificate: by the clock of the board it is "
        "not yet valid (or no longer), or the board trusts another CA",
        remedy=f"{_SET_CLOCK}; if it is right, issue its certificate again: `edgesweep pki issue {entry.name}`",
    )


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused, so no agent listens there"
    if isinstance(error, ConnectionResetError):
        return "it closed the connection at once"
    if isinstance(error, ExceptionGroup) and error.exceptions:
        return str(error.exceptions[0])
    return (error.strerror or str(error) or type(error).__name__).lower()
