"""Who is calling: the controller's name from its certificate, or `insecure` where TLS is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgesweep_agent.faults import Fault
from edgesweep_agent.tls import INSECURE, controller_name

#: Gives the caller's identity from the call's context, or raises `Fault("not_authorised")`.
IdentityOf = Callable[[Any], str]


def insecure_identity(_context: Any) -> str:
    """The identity of every caller of an agent without TLS."""
    return INSECURE


def tls_identity(context: Any) -> str:
    """The name in the caller's controller certificate.

    Raises:
        Fault: `not_authorised` for a certificate of any other kind.
    """
    name = controller_name(context.auth_context())
    if name is None:
        raise Fault(
            "not_authorised",
            "this certificate is not a controller's; issue one with `edgesweep pki init` and connect with that",
        )
    return name
