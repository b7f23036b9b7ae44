"""Android's neural networks API, which Android 15 gave up."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(name="NnapiExecutionProvider", short="nnapi")
