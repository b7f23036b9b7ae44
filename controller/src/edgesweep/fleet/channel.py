"""Channels to devices: mutual TLS with the inventory's name as the verified one, and links that notice a dead peer."""

from __future__ import annotations

import json
from dataclasses import dataclass

import grpc
import grpc.aio

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.address import is_loopback, split_address
from edgesweep.fleet.identity import Identity
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.names import verified_name

#: Calls that may be sent again by gRPC itself: doing them twice is doing them once.
IDEMPOTENT_CALLS = (
    ("DeviceService", "Describe"),
    ("LeaseService", "Renew"),
    ("LeaseService", "ListLeases"),
    ("ArtifactService", "FindMissing"),
    ("TrialService", "Submit"),
    ("TrialService", "Cancel"),
    ("TrialService", "Acknowledge"),
    ("RuntimeService", "ListRuntimes"),
)


@dataclass(frozen=True, slots=True)
class LinkTimings:
    """How patient a link is. Milliseconds as gRPC wants them, seconds (`_s`) for our own deadlines.

    A hung agent is noticed after `keepalive_time_ms + ping_timeout_ms` at the latest. The HTTP/2 ping timeout rules over
    the keepalive timeout, and below 10 s a slow link full of upload would look dead. `describe_s` is longer than
    `call_s`, because an agent that has just started probes its runtimes before it answers; `probe_s` is for several new
    ones on a slow board, behind a trial that still runs.
    """

    keepalive_time_ms: int = 10_000
    keepalive_timeout_ms: int = 5_000
    ping_timeout_ms: int = 10_000
    initial_backoff_ms: int = 200
    min_backoff_ms: int = 1_000
    max_backoff_ms: int = 3_000
    connect_s: float = 10.0
    call_s: float = 20.0
    describe_s: float = 120.0
    probe_s: float = 900.0
    stall_s: float = 60.0


def channel_options(timings: LinkTimings) -> list[tuple[str, str | int]]:
    """The channel arguments of gRPC for `timings`."""
    return [
        ("grpc.keepalive_time_ms", timings.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", timings.keepalive_timeout_ms),
        ("grpc.http2.ping_timeout_ms", timings.ping_timeout_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", timings.initial_backoff_ms),
        ("grpc.min_reconnect_backoff_ms", timings.min_backoff_ms),
        ("grpc.max_reconnect_backoff_ms", timings.max_backoff_ms),
        # A web proxy from the environment is not the way to a board.
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(_service_config())),
    ]


def open_channel(entry: DeviceEntry, identity: Identity | None, timings: LinkTimings) -> grpc.aio.Channel:
    """A channel to `entry`; nothing is sent yet.

    Raises:
        EdgesweepError: `certificate_unusable` without an identity, `config_invalid` for an insecure device that is not
            on loopback.
    """
    options = channel_options(timings)
    if entry.insecure:
        if not is_loopback(split_address(entry.address)[0]):
            raise EdgesweepError(
                "config_invalid",
                f"device {entry.name!r} is marked insecure, but {entry.address} is not a loopback address",
                remedy=f"take `insecure` out of the inventory and issue a certificate: `edgesweep pki issue {entry.name}`",
            )
        return grpc.aio.insecure_channel(entry.address, options=options)
    if identity is None:
        raise EdgesweepError(
            "certificate_unusable",
            f"device {entry.name!r} wants a certificate, and this controller has none",
            remedy="make the lab's certificates with `edgesweep pki init`",
        )
    options.append(("grpc.ssl_target_name_override", verified_name(entry.name)))
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.ca,
        private_key=identity.key,
        certificate_chain=identity.certificate,
    )
    return grpc.aio.secure_channel(entry.address, credentials, options=options)


def _service_config() -> dict[str, object]:
    return {
        "methodConfig": [
            {
                "name": [
                    {"service": f"edgesweep_proto.v1.{service}", "method": method}
                    for service, method in IDEMPOTENT_CALLS
                ],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
