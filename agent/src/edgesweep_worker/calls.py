"""The ways to call a session, each reduced to one function and two ready arguments for the timed loop.

Cheapest first, with what each costs above a C program's own call (floor.md 1): `raw_binding` is the inner call that the
public one wraps, with one kept RunOptions (+0.2 us); `binding` the public one (+0.8 to +1.2 us); `run` takes and gives numpy
arrays (+3 us and more). The inner call is no promise of onnxruntime's: where it is not what it was, the next one is taken.
"""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from edgesweep_worker import foreign, values
from edgesweep_worker.inputs import aligned_empty

#: Providers whose tensors live on a device of their own; all others take the CPU's memory.
_DEVICES = {
    "CUDAExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "cuda",
    "NvTensorRTRTXExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "CANNExecutionProvider": "cann",
}

WAYS = ("raw_binding", "binding", "run")

#: Written over output buffers before the last run, so that old results cannot pass for new ones.
_POISON = 0xA5


class HostCall:
    """`session.run` with numpy arrays: what an application pays that does not bind its tensors."""

    io_mode = "host"
    way = "run"

    def __init__(self, session: Any, inputs: Mapping[str, np.ndarray]) -> None:
        self.function = session.run
        self.first: Any = [arg.name for arg in session.get_outputs()]
        self.second: Any = dict(inputs)
        self._results: list[Any] = []

    def run(self) -> None:
        """Run once and keep the results."""
        self._results = self.function(self.first, self.second)

    def outputs(self) -> dict[str, Any]:
        """Results of the last kept run by name."""
        return {name: self._results[index] for index, name in enumerate(self.first)}

    def settle(self) -> bool:
        """Nothing to prepare: every run makes its own outputs."""
        self._results = []
        return True

    def run_afresh(self) -> dict[str, Any]:
        """Run once more and return its results."""
        self.run()
        return self.outputs()


class ValueCall(HostCall):
    """The same with OrtValues, for models that take or give types which numpy lacks.

    Args:
        ort: the onnxruntime module.
        session: the session.
        fed: what `values.feeds` has made of the inputs.
    """

    def __init__(self, ort: Any, session: Any, fed: Mapping[str, Any]) -> None:
        super().__init__(session, fed)
        self._kinds = {arg.name: foreign.element_type(arg.type) for arg in session.get_outputs()}
        self.function = session.run_with_ort_values
        self.second = {
            name: ort.OrtValue.ortvalue_from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in fed.items()
        }

    def outputs(self) -> dict[str, Any]:
        """Results of the last kept run by name, as numbers that numpy has."""
        found = {}
        for index, (name, kind) in enumerate(self._kinds.items()):
            value = self._results[index]
            found[name] = value.numpy() if kind is None else foreign.from_value(value, kind)
        return found


class BoundCall:
    """Inputs and outputs bound once; the call is the cheapest that is there, from `way` on.

    The public `run_with_iobinding` costs 1 us more than the inner one, 28 us with plain run options from 1.30 on, and a
    call without run options makes new ones each time; so the inner call is used with one kept RunOptions.
    """

    io_mode = "bound"

    def __init__(
        self, ort: Any, session: Any, inputs: Mapping[str, np.ndarray], provider: str, device_id: int, way: str = ""
    ) -> None:
        self._ort = ort
        self._session = session
        self._device = _DEVICES.get(provider, "cpu")
        self._device_id = device_id if self._device != "cpu" else 0
        self._names = [arg.name for arg in session.get_outputs()]
        self._binding = session.io_binding()
        self._kept: list[Any] = []
        self._buffers: dict[str, np.ndarray] = {}
        for name, array in inputs.items():
            value = ort.OrtValue.ortvalue_from_numpy(array, self._device, self._device_id)
            self._kept += [array, value]
            self._binding.bind_ortvalue_input(name, value)
        self._let_runtime_allocate()
        inner = getattr(getattr(session, "_sess", None), "run_with_iobinding", None)
        inner_binding = getattr(self._binding, "_iobinding", None)
        self.way = "raw_binding"
        self.function: Any = inner
        self.first: Any = inner_binding
        self.second: Any = ort.RunOptions()
        if inner is None or inner_binding is None or way == "binding":
            self._call_publicly()

    def _call_publicly(self) -> None:
        self.way = "binding"
        self.function = self._session.run_with_iobinding
        self.first = self._binding
        self.second = _public_options(self._ort)

    def _let_runtime_allocate(self) -> None:
        self._buffers = {}
        self._binding.clear_binding_outputs()
        for name in self._names:
            self._binding.bind_output(name, self._device, self._device_id)

    def run(self) -> None:
        """Run once; the results stay in the binding.

        An inner call that is there and takes other arguments is given up for the public one: Python's own errors say
        nothing about the model, whose failures have the runtime's types.
        """
        try:
            self.function(self.first, self.second)
        except (TypeError, AttributeError):
            if self.way != "raw_binding":
                raise
            self._call_publicly()
            self.function(self.first, self.second)

    def outputs(self) -> dict[str, np.ndarray]:
        """Results of the last run by name, copied to the host where they lie on a device."""
        arrays = self._binding.copy_outputs_to_cpu()
        return {name: arrays[index] for index, name in enumerate(self._names)}

    def settle(self) -> bool:
        """After the first run has shown the shapes, bind outputs that every later run writes into.

        Returns:
            False when the runtime would not have it and allocates the outputs of each run itself.
        """
        values = self._binding.get_outputs()
        try:
            for index, name in enumerate(self._names):
                value = values[index]
                if self._device == "cpu":
                    produced = value.numpy()
                    buffer = aligned_empty(produced.shape, produced.dtype)
                    value = self._ort.OrtValue.ortvalue_from_numpy(buffer)
                    self._buffers[name] = buffer
                self._kept.append(value)
                self._binding.bind_ortvalue_output(name, value)
            self.run()
        except Exception:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
            self._let_runtime_allocate()
            return False
        return True

    def run_afresh(self) -> dict[str, np.ndarray]:
        """Spoil the output buffers, run once more and return what it wrote."""
        for buffer in self._buffers.values():
            buffer.reshape(-1).view(np.uint8)[...] = _POISON
        self.run()
        return self.outputs()


def make_call(
    ort: Any,
    session: Any,
    inputs: Mapping[str, np.ndarray],
    io_mode: str,
    chain: list[tuple[str, dict[str, str]]],
    way: str = "",
) -> HostCall | BoundCall:
    """The call for `io_mode`; strings, sequences and types that numpy lacks are not bound and are called in mode host.

    Args:
        ort: the onnxruntime module.
        session: the session.
        inputs: arrays by name.
        io_mode: bound or host.
        chain: provider names with options; tensors lie where the first one has them.
        way: the cheapest of `WAYS` that may be used in mode bound; "" for the cheapest that is there.
    """
    kinds = [arg.type for arg in (*session.get_inputs(), *session.get_outputs())]
    if any(foreign.element_type(kind) for kind in kinds):
        return ValueCall(ort, session, inputs)
    plain = values.is_plain(kinds)
    if io_mode == "host" or not plain or way == "run":
        return HostCall(session, inputs)
    provider, options = chain[0]
    return BoundCall(ort, session, inputs, provider, int(options.get("device_id", 0)), way)


def run_once(ort: Any, session: Any, arrays: Mapping[str, Any]) -> None:
    """Run `session` on `arrays`, or on what `values.feeds` has made of them."""
    fed = values.feeds(ort, session, arrays)
    if any(foreign.element_type(arg.type) for arg in (*session.get_inputs(), *session.get_outputs())):
        ValueCall(ort, session, fed).run()
    else:
        session.run(None, fed)


def _public_options(ort: Any) -> Any:
    """Run options with which the public call is cheaper than without any; None where the runtime has no such entry.

    From 1.30 on the call looks for this entry, and without it an exception is thrown and caught: 28 us. -1 is no graph.
    """
    try:
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", "-1")
    except Exception:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
        return None
    return options
