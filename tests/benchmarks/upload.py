"""How fast a verified upload is on loopback, against the least that Python can do; one JSON object on stdout.

The floor is a plain socket: `sendfile` on one side; `recv_into`, SHA-256 and `write` in another process. The uploads
are the real ones: an agent process, the fleet room's client, lease, digest check and flush to the disk, without TLS
and with certificates on both sides. All take turns in one run, because only figures of one run can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.local_agent import LocalAgent
from edgesweep.fleet.pki import controller_tls_dir, init_ca, issue_controller, issue_device
from edgesweep_proto.blob import Blob

NAME = "bench"
CHUNK = 1 << 20
MEGABYTE = 1e6

#: Bars in MB/s and as shares of the floor; a slower machine meets at least the shares.
BARS = {"plain": (400.0, 0.44), "mtls": (300.0, 0.33)}


def receive(listener: socket.socket, target: str, size: int, answer: Any) -> None:
    """Take `size` bytes in, hash and write them, and answer with their digest."""
    buffer = memoryview(bytearray(CHUNK))
    answer.send("ready")
    connection, _ = listener.accept()
    digest = hashlib.sha256()
    with connection, Path(target).open("wb", buffering=0) as file:
        while size:
            count = connection.recv_into(buffer[: min(CHUNK, size)])
            digest.update(buffer[:count])
            file.write(buffer[:count])
            size -= count
    answer.send(digest.hexdigest())


def raw_seconds(source: Path, blob: Blob, folder: Path) -> float:
    """Seconds that the floor takes for the file."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours, theirs = multiprocessing.Pipe()
        target = folder / "raw"
        # Spawned: this process has gRPC's threads, and a fork of it could hang.
        receiver = multiprocessing.get_context("spawn").Process(
            target=receive, args=(listener, str(target), blob.size_bytes, theirs)
        )
        receiver.start()
        ours.recv()
        with socket.create_connection(listener.getsockname()) as connection, source.open("rb") as file:
            begun = time.perf_counter()
            connection.sendfile(file)
            told = ours.recv()
            taken = time.perf_counter() - begun
        receiver.join()
    target.unlink()
    if told != blob.sha256:
        raise SystemExit("the floor received other bytes than were sent")
    return taken


@contextlib.asynccontextmanager
async def device(folder: Path, *, secure: bool) -> AsyncIterator[tuple[DeviceClient, int]]:
    """A client with a lease on an agent of its own."""
    device_tls, ours = None, None
    if secure:
        pki = folder / "pki"
        init_ca(pki)
        device_tls = issue_device(pki, NAME)
        issue_controller(pki)
        ours = controller_tls_dir(pki)
    async with LocalAgent() as agent:
        address = await agent.start(NAME, folder / "state", device_tls)
        entry = DeviceEntry(NAME, address, {}, insecure=not secure)
        async with DeviceClient(entry, ours, controller_version="0.1.0") as client:
            lease = await client.acquire(NAME, ttl_s=3600.0)
            yield client, lease.fencing_number


async def pushed_seconds(client: DeviceClient, number: int, source: Path, blob: Blob) -> float:
    """Seconds that one push takes until the agent has verified and stored it."""
    begun = time.perf_counter()
    sent = await client.push([blob], lambda _: source, number)
    taken = time.perf_counter() - begun
    if sent != blob.size_bytes:
        raise SystemExit(f"{sent} bytes were sent instead of {blob.size_bytes}")
    return taken


async def measure(size_mb: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The figures of one run."""
    seconds: dict[str, list[float]] = {"raw": [], "plain": [], "mtls": []}
    source = folder / "blob"
    async with device(folder / "plain", secure=False) as plain, device(folder / "mtls", secure=True) as mtls:
        for _ in range(rounds + 1):
            # Fresh bytes each time: what a device holds it does not take again.
            content = os.urandom(int(size_mb * MEGABYTE))
            source.write_bytes(content)
            blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
            del content
            seconds["raw"].append(await asyncio.to_thread(raw_seconds, source, blob, folder))
            seconds["plain"].append(await pushed_seconds(*plain, source, blob))
            seconds["mtls"].append(await pushed_seconds(*mtls, source, blob))
            for kind in ("plain", "mtls"):
                (folder / kind / "state" / "blobs" / blob.sha256[:2] / blob.sha256).unlink()
    # The first round warms the page cache and the connections.
    rates = {kind: [size_mb / taken for taken in values[1:]] for kind, values in seconds.items()}
    medians = {kind: statistics.median(values) for kind, values in rates.items()}
    return {
        "benchmark": "upload",
        "size_mb": size_mb,
        "rounds": rounds,
        "mb_per_s": {kind: round(value, 1) for kind, value in medians.items()},
        "spread": {kind: [round(min(values), 1), round(max(values), 1)] for kind, values in rates.items()},
        "of_raw": {kind: round(medians[kind] / medians["raw"], 3) for kind in BARS},
        "bars": {
            kind: {"mb_per_s": rate, "of_raw": share, "met": medians[kind] >= min(rate, share * medians["raw"])}
            for kind, (rate, share) in BARS.items()
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench upload", description=__doc__)
    parser.add_argument("--size-mb", type=int, default=300, metavar="N", help="megabytes of one upload (300)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that count (5)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgesweep-bench-") as folder:
        result = asyncio.run(measure(chosen.size_mb, chosen.rounds, Path(folder)))
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
