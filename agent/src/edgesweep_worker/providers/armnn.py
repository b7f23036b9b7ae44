"""Arm NN, which newer onnxruntimes no longer have."""

from __future__ import annotations

from edgesweep_worker.providers.facts import ProviderFacts

FACTS = ProviderFacts(name="ArmNNExecutionProvider", short="armnn")
