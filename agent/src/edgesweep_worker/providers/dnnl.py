"""oneDNN, Intel's kernels for processors."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(
    name="DnnlExecutionProvider",
    short="dnnl",
    options={"use_arena": "1: take memory from an arena"},
)
