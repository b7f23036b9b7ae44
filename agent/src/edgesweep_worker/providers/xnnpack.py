"""XNNPACK: hand-written kernels for ARM, x86-64 and WebAssembly processors."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts, Trap

FACTS = ProviderFacts(
    name="XnnpackExecutionProvider",
    short="xnnpack",
    options={"intra_op_num_threads": "threads of its own pool, beside those of the session"},
    traps=(
        Trap(
            "it has a pool of threads beside the session's, and the two spin against each other",
            "set intra_op_num_threads to the cores and the session's threads to 1",
            "onnxruntime#11762",
        ),
        Trap(
            "it wants channels last, so that models with few convolutions spend their time in Transpose nodes",
            "look at the nodes' times with `node_profile`",
            "onnxruntime#13819",
        ),
    ),
)
