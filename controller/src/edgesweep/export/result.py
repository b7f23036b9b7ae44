"""What exporting one variant gave: the artifact and its facts as read back, or the stage and cause of the failure."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.trial import Numerics, Stage, Tolerance

from edgesweep.plan.cell import Variant


@dataclass(frozen=True, slots=True)
class Produced:
    """Facts read back from the artifact, never from the request.

    `dynamic` holds, per input, the dimension names that were *proven* by running other sizes; `declared` the shape that
    the file itself claims, sizes and names as text (`?` for none). `operators` are the distinct operators, `Gemm` or
    `com.microsoft.FusedGelu`; `types` the distinct element types of values and weights, by numpy's name.
    """

    opset: int
    ir_version: int
    dynamic: dict[str, tuple[str, ...]]
    digest: str
    graph_hash: str
    size_bytes: int
    nodes: int
    domains: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    """What a trial at one shape needs: inputs and torch's outputs for them, as digest-named tensors.

    `reference_note` says why `references` is empty when it is. `items` is the batch: items per inference. `denormals` counts
    the numbers of the inputs that are so small that many processors take a slow path for them. `sampled` is the number of
    elements that the references hold where they are too large to be sent whole, 0 where they are whole: such a tensor's blob
    is an array of (position, value), its shape that of the whole.
    """

    sizes: tuple[tuple[str, int], ...]
    inputs: tuple[Tensor, ...]
    references: tuple[Tensor, ...]
    items: int = 1
    reference_note: str = ""
    denormals: int = 0
    sampled: int = 0


@dataclass(frozen=True, slots=True)
class SizeProof:
    """What the host's runtime did at one size, held against torch.

    `label` is the shape's slug, or says which other values were tried; `refused` and `wrong` are the words for what went
    wrong, empty when it agreed. Errors are the largest over all outputs; `offender` is the first output that is off.
    """

    label: str
    refused: str = ""
    wrong: str = ""
    offender: str = ""
    max_absolute_error: float = 0.0
    max_relative_error: float = 0.0

    @property
    def agreed(self) -> bool:
        """Whether the outputs were torch's, within the tolerance."""
        return not self.refused and not self.wrong


@dataclass(frozen=True, slots=True)
class ExportResult:
    """How one variant ended. `cause` is empty when it passed; `payloads` is keyed by the shape's slug.

    `message` is one sentence for the user, `detail` the exporter's own full words. `proof` says what
    happened at each size. `seconds` is the cost of the export itself, and `cached` tells that it was paid on an earlier day.
    """

    variant: Variant
    stage: Stage
    cause: str = ""
    message: str = ""
    detail: str = ""
    manifest: Manifest | None = None
    produced: Produced | None = None
    payloads: dict[str, Payload] = field(default_factory=dict)
    numerics: Numerics | None = None
    proof: tuple[SizeProof, ...] = ()
    tolerance: Tolerance = field(default_factory=Tolerance)
    seconds: float = 0.0
    cached: bool = False

    @property
    def sizes_tried(self) -> tuple[str, ...]:
        """The sizes at which the artifact was run on the host, in order."""
        return tuple(size.label for size in self.proof)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every blob that the result names: the artifact's, and the inputs and references of its payloads."""
        tensors = [tensor for payload in self.payloads.values() for tensor in (*payload.inputs, *payload.references)]
        return (*(self.manifest.blobs if self.manifest else ()), *(tensor.blob for tensor in tensors))

    @property
    def passed(self) -> bool:
        """Whether the artifact may be measured."""
        return not self.cause
