"""One trial: load, run once, check the answer, then time it, then ask where the nodes went."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from edgesweep_worker import ending, failure, provider_options
from edgesweep_worker.events import EventPipe
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import TrialJob

#: Runs 2 to 10 show the steady memory: an arena reaches its true size on the second run.
_STEADY_RUNS = 9
#: A slow model gets fewer of them, but never less than two.
_STEADY_SECONDS = 2.0
_STEADY_LEAST = 2


def run_trial(job: TrialJob, pipe: EventPipe) -> None:
    """Run the whole trial, or up to its placement where that is told apart, and write its end."""
    ending.end_with(pipe, _Trial(job, pipe).run)


class _Trial:
    """State that the stages hand on; each method is one stage."""

    def __init__(self, job: TrialJob, pipe: EventPipe) -> None:
        self.job = job.with_threads()
        self.pipe = pipe

    def run(self) -> tuple[str, str, str]:
        """Go through the stages; returns outcome, cause and message."""
        self._load()
        self._first_run()
        self._verify()
        if self.job.protocol.untimed:
            return self._place_untimed()
        self._warm_up()
        self._measure()
        return self._place()

    def _load(self) -> None:
        self.pipe.stage("load")
        provider_options.check_local(self.job.providers)
        self._prepare_start()
        started = time.perf_counter()
        try:
            import onnxruntime
        except Exception as error:
            sentence = "onnxruntime cannot be imported by the runtime's interpreter"
            raise TrialFailed("runtime_unavailable", sentence, f"{type(error).__name__}: {error}") from error
        self.import_s = time.perf_counter() - started
        # They import numpy, whose cost belongs to importing onnxruntime: so only after the clock was read. All of
        # them now, so that none is loaded while memory is read.
        from edgesweep_worker import (  # noqa: F401
            calls,
            compare,
            compiling,
            device_memory,
            inputs,
            measure,
            memory,
            outputs,
            placement,
            plugins,
            provider_start,
            providers,
            session,
            shape_changes,
            threads,
            values,
        )

        self.ort: Any = onnxruntime
        loaded = plugins.register_wanted(self.ort, self.job, self.pipe.doing)
        self.pipe.tag(*loaded.tags)
        self.chain, tags = session.usable_chain(self.ort, self.job)
        self.pipe.tag(*tags)
        options = session.make_options(self.ort, self.job.session)
        if self.job.protocol.untimed:
            placement.record_assignment(self.ort, options)
        self.arrays = inputs.load_inputs(self.job.inputs)
        self.provider_load_s = loaded.seconds or provider_start.load_libraries(self.chain[0][0])
        outputs.rehearse()
        self.device_memory = device_memory.DeviceMemory(providers.facts_of(self.chain[0][0]).device_memory)
        self.meter = memory.MemoryMeter(unified=self.job.unified_memory, brief=self.job.protocol.untimed)
        self.pinning = threads.Pinning(self.job.cpus if self.job.protocol.pin_threads else ())
        self.compiling = compiling.Compiling(self.pipe, self.job)
        self.compiling.enter(compiling.SESSION)
        self.meter.begin()
        started = time.perf_counter()
        self.session: Any = session.open_session(self.ort, self.job, options, self.chain)
        self.session_s = time.perf_counter() - started
        self.memory = [self.meter.peak("session_peak"), *self.device_memory.phase("device_session")]
        self.compiling.leave(compiling.SESSION, self.session_s)
        self._tell_memory()
        self._tell_session(self.job.protocol.io_mode)
        self.pipe.tag(*provider_options.differing(self.session, self.chain))
        self._tag_threads(len(self.pinning.pool), options.intra_op_num_threads, session.CPU)
        self.pinning.hold()
        inputs.check_inputs(self.arrays, self.session)
        self.arrays = values.feeds(self.ort, self.session, self.arrays)
        self.kinds = {arg.name: arg.type for arg in self.session.get_outputs()}

    def _prepare_start(self) -> None:
        """Before the import of the runtime: what is mapped cannot be dropped, and only then is a fork harmless."""
        from edgesweep_worker import cold

        if self.job.protocol.untimed and self.job.protocol.provider_cache == "asis":
            return  # nobody is told how cold the caches were
        self.start = cold.prepare(self.job, self.pipe)
        self.job = self.start.job
        self.pipe.tag(*self.start.tags)

    def _first_run(self) -> None:
        self.compiling.enter("first_run", otherwise="first_run")
        self.meter.begin()
        started = time.perf_counter()
        try:
            self.call: Any = self._make_call()
            self.call.run()
        except Exception as error:
            raise failure.run_failure(error, self.pipe.current_stage, self.job.model_path) from error
        self.first_run_s = time.perf_counter() - started
        self.memory += [self.meter.peak("first_run_peak"), *self.device_memory.phase("device_first_run")]
        self.compiling.leave("first_run", self.first_run_s)
        self._tell_memory()
        if self.call.io_mode != self.job.protocol.io_mode:
            self.pipe.tag("io_mode_not_honoured")
            self._tell_session(self.call.io_mode)

    def _verify(self) -> None:
        from edgesweep_worker import compare, outputs, values

        answer = values.flat(self.call.outputs())
        if self.job.references:
            self.pipe.stage("verify")
        self.repeats = outputs.Repeats(outputs.summarise(answer), self.job.tolerance)
        self._tell_outputs()
        if self.job.references:
            found = self._compare(answer)
            numerics = found.numerics()
            if numerics is not None:
                self.pipe.facts(numerics=numerics)
            if found.cause:
                self._refuse_chance(found.first_offender)
                raise TrialFailed(found.cause, found.first_offender)
        self.nan_tags = compare.nan_tags(answer)
        self.pipe.tag(*self.nan_tags)

    def _refuse_chance(self, offender: str) -> None:
        """A wrong answer that is another one each time says something else than one that stays wrong."""
        from edgesweep_worker import values

        with failure.failing_runs():
            self.call.run()
        self.repeats.take(values.flat(self.call.outputs()))
        self._tell_outputs()
        apart = self.repeats.offender()
        if apart:
            words = f"two runs with the same inputs differ, {apart}; held against the reference, {offender}"
            raise TrialFailed("nondeterministic_output", words)

    def _tell_outputs(self) -> None:
        self.pipe.facts(outputs=[summary.as_json() for summary in self.repeats.first])
        self.pipe.tag(*self.repeats.tags)

    def _warm_up(self) -> None:
        self.pipe.stage("warmup")
        from edgesweep_worker import measure

        with failure.failing_runs():
            typical_ns = self._steady_runs()
        self.meter.release_threshold()
        self._tell_call()
        self.measurement = measure.Measurement(self.job, self.pipe, self.call, self._make_call, self.pinning)
        self.measurement.warm_up(typical_ns)

    def _steady_runs(self) -> int:
        """Runs 2 to 10: second_run and the steady memory; returns the shortest run in ns."""
        self.meter.begin()
        durations: list[int] = []
        begin = time.perf_counter()
        while len(durations) < _STEADY_RUNS:
            started = time.perf_counter_ns()
            self.call.function(self.call.first, self.call.second)
            durations.append(time.perf_counter_ns() - started)
            if len(durations) == 1:
                self.pipe.facts(
                    cold_start={
                        "import_s": self.import_s,
                        "session_s": self.session_s,
                        "first_run_s": self.first_run_s,
                        "second_run_s": durations[0] / 1e9,
                        "provider_load_s": self.provider_load_s,
                        **self.start.as_json(),
                    }
                )
            if len(durations) >= _STEADY_LEAST and time.perf_counter() - begin > _STEADY_SECONDS:
                break
        self.memory.append(self.meter.peak("steady_peak", f", runs 2 to {len(durations) + 1}"))
        self.memory += [self.meter.retained(), *self.meter.others(), *self.device_memory.phase("device_steady")]
        self._tell_memory()
        if not self.call.settle():
            self.pipe.tag("outputs_allocated_per_run")
        return min(durations)

    def _measure(self) -> None:
        self.pipe.stage("measure")
        self.measurement.measure()
        self._verify_again()
        self._save_samples()
        # It holds calls of the session, which is to go before the next one.
        del self.measurement

    def _verify_again(self) -> None:
        """Accelerators under heat have been seen to go wrong: then what was timed was not the model."""
        from edgesweep_worker import compare, values

        known = {tag.split(":", 1)[1] for tag in self.nan_tags}
        for given in self.measurement.answers():
            outputs = values.flat(given)
            self.repeats.take(outputs)
            if self.job.references:
                found = self._compare(outputs)
                if found.cause:
                    words = f"right at first, wrong after the timed runs: {found.first_offender}"
                    raise TrialFailed(found.cause, words)
            names = [tag.split(":", 1)[1] for tag in compare.nan_tags(outputs)]
            fresh = [name for name in names if name not in known]
            if fresh:
                raise TrialFailed("nan_output", f"{fresh[0]}: numbers at first, NaN after the timed runs")
        self._tell_outputs()
        apart = self.repeats.offender(vouched=[file.name for file in self.job.references])
        # It holds the last answer, and the session that reads the placement needs the room.
        del self.repeats
        if apart:
            raise TrialFailed("nondeterministic_output", f"runs with the same inputs differ, {apart}")

    def _save_samples(self) -> None:
        everything = self.measurement.samples()
        if sys.byteorder == "big":
            everything.byteswap()
        part = self.job.samples_path + ".part"
        with open(part, "wb") as file:
            everything.tofile(file)
        os.replace(part, self.job.samples_path)
        self.pipe.facts(samples=self.measurement.facts())

    def _place_untimed(self) -> tuple[str, str, str]:
        """Ask the one session that there is; only where it cannot tell is another made that can."""
        from edgesweep_worker import placement, placing, shape_changes

        found = None if self.job.protocol.node_profile else placement.read_assignment(self.ort, self.session)
        if found is None:
            return self._place()
        self.pipe.stage("placement")
        self.compiling.settle()
        shape_changes.try_others(self.job, self.pipe, self.session, self.arrays, self.compiling)
        return placing.judge(self.job, self.pipe, found, self.chain[0][0])

    def _place(self) -> tuple[str, str, str]:
        from edgesweep_worker import placing

        self.compiling.settle()
        # One session at a time: an NPU may serve only one, and idle thread pools slow each other down.
        del self.call
        del self.session
        if self.job.place_apart:
            return "pass", "", ""
        self.pipe.stage("placement")
        watched = placing.Watched(self.ort, self.job, self.pipe, self.chain, self.arrays, self.compiling)
        return watched.place(self.pinning.cluster)

    def _compare(self, outputs: dict[str, Any]) -> Any:
        from edgesweep_worker import compare, values

        references = values.decoded(compare.load_references(self.job.references), self.kinds)
        return compare.compare_outputs(values.flat(outputs), references, self.job.tolerance)

    def _tag_threads(self, started: int, asked: int, cpu: str) -> None:
        """Tag threads that were not asked for: the caller works too, so a pool of n starts n - 1 of them."""
        if self.job.session.inter_op_threads > 1:
            return
        if [name for name, _ in self.chain] == [cpu]:
            if started + 1 != asked:
                self.pipe.tag(f"threads_started:{started + 1}")
        elif started + 1 > asked:
            self.pipe.tag(f"provider_threads:{started + 1 - asked}")

    def _tell_memory(self) -> None:
        if self.meter.available:
            self.pipe.facts(memory=list(self.memory))
        else:
            self.pipe.tag("memory_unavailable")

    def _tell_session(self, io_mode: str, call: str = "") -> None:
        from edgesweep_worker import session

        # What was measured before is the cost of the probe's call and of no other.
        cost = self.job.call_cost_s if call and call == self.job.call else None
        self.pipe.facts(session=session.read_back(self.ort, self.session, io_mode, call, cost))

    def _make_call(self) -> Any:
        from edgesweep_worker import calls

        asked = self.job.protocol.io_mode
        return calls.make_call(self.ort, self.session, self.arrays, asked, self.chain, self.job.call)

    def _tell_call(self) -> None:
        """Tell how the session is called, now that it has been: the first run may have shown that a way is closed."""
        from edgesweep_worker import calls

        self._tell_session(self.call.io_mode, self.call.way)
        closed = self.call.io_mode == "bound" or self.job.call == "run"
        if self.job.protocol.io_mode == "bound" and closed and self.call.way != calls.WAYS[0]:
            self.pipe.tag("call_fallback")
