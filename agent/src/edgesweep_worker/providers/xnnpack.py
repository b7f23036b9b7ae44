"""XNNPACK: hand-written kernels for ARM, x86-64 and WebAssembly processors."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(
    name="XnnpackExecutionProvider",
    short="xnnpack",
    options={"intra_op_num_threads": "threads of its own pool, beside those of the session"},
)
