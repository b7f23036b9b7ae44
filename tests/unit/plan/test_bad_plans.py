from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.plan.load import LoadedPlan, load_plan

Read = Callable[[str], LoadedPlan]

HEAD = "version: 1\nmodels: [{zoo: detector}]\n"


def complaint(read: Read, text: str) -> str:
    with pytest.raises(EdgesweepError) as caught:
        read(text)
    assert caught.value.code == "plan_invalid"
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plan.yaml:1:1: the plan is empty; start it with version: 1"),
        ("# only a note\n", "plan.yaml:1:1: the plan is empty; start it with version: 1"),
        ("- a\n", "plan.yaml:1:1: a plan is a mapping of keys, not a list"),
        ("\n  hello\n", "plan.yaml:2:3: a plan is a mapping of keys, not the text 'hello'"),
        (
            "a: [1,\nb: 2",
            "plan.yaml:2:5: this is not YAML: expected ',' or ']', but got '<stream end>' while parsing a flow sequence",
        ),
        (
            "version: 1\nmodels:\n\t- zoo: detector\n",
            (
                "plan.yaml:3:1: this is not YAML: found character '\\t' that cannot start any token "
                "while scanning for the next token"
            ),
        ),
        ("version: 1\nname: a\nname: b\n", "plan.yaml:3:1: the key 'name' is given twice"),
        (
            "a: 1\n---\nb: 2\n",
            "plan.yaml:2:1: this is not YAML: but found another document expected a single document in the stream",
        ),
        ("a: *x\n", "plan.yaml:1:4: this is not YAML: found undefined alias 'x'"),
        ("a: &x [1, *x]\n", "plan.yaml:1:4: the anchor 'x' contains itself"),
        (
            "a: !!python/object:os.system x\n",
            (
                "plan.yaml:1:4: this is not YAML: could not determine a constructor for the tag "
                "'tag:yaml.org,2002:python/object:os.system'"
            ),
        ),
        (
            "a: \x00\n",
            "plan.yaml:1:1: this is not YAML: unacceptable character #x0000: special characters are not allowed",
        ),
    ],
)
def test_a_text_that_is_no_plan(read: Read, text: str, message: str) -> None:
    assert complaint(read, text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [{zoo: detector}]\n", "plan.yaml:1:1: version is missing; write version: 1 as the first line"),
        (
            "# first\nversion: 1\n",
            "plan.yaml:2:1: models is missing; name at least one, such as models: [{zoo: mobile-cnn}]",
        ),
        (
            "version: 2\nmodles: []\n",
            "plan.yaml:1:10: version: this plan has version 2, and this Edgesweep reads 1; install a newer Edgesweep",
        ),
        ("version: 0\nmodels: []\n", "plan.yaml:1:10: version: there is no plan version 0; write version: 1"),
        ("version: '1'\nmodels: []\n", "plan.yaml:1:10: version: the version is a whole number, 1, not the text '1'"),
        ("version: true\nmodels: []\n", "plan.yaml:1:10: version: the version is a whole number, 1, not the word true"),
        ("version: 1\nmodels: []\n", "plan.yaml:2:9: models: it needs at least one entry"),
        ("version: 1\nmodels: {zoo: a}\n", "plan.yaml:2:9: models: expected a list, found a mapping"),
        ("version: 1\nmodels:\n", "plan.yaml:2:1: models: expected a list, found nothing"),
        (
            "version: 1\nmodels: [detector]\n",
            "plan.yaml:2:10: models[0]: expected a mapping, found the text 'detector'",
        ),
    ],
)
def test_a_plan_without_its_two_keys(read: Read, text: str, message: str) -> None:
    assert complaint(read, text) == message


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("{zoo: detecter}", "plan.yaml:2:16: models[0].zoo: the zoo has no model 'detecter', did you mean 'detector'?"),
        ("{zoo: detector, nam: x}", "plan.yaml:2:26: unknown key 'nam' in models[0], did you mean 'name'?"),
        (
            "{}",
            "plan.yaml:2:10: models[0]: a model has exactly one of zoo, factory and onnx; this one has none of them",
        ),
        (
            "{zoo: detector, onnx: a.onnx}",
            "plan.yaml:2:10: models[0]: a model has exactly one of zoo, factory and onnx; this one has zoo and onnx",
        ),
        (
            "{factory: lab.py}",
            "plan.yaml:2:20: models[0].factory: 'lab.py' names no callable; write file.py:callable or package.module:callable",
        ),
        ("{factory: 5}", "plan.yaml:2:20: models[0].factory: expected text, found the number 5; put it in quotes"),
        (
            "{onnx: my net.onnx}",
            "plan.yaml:2:10: models[0]: 'my net' cannot stand in a cell's name; give the model another one with name:",
        ),
        (
            "{zoo: detector, name: a/b}",
            (
                "plan.yaml:2:32: models[0].name: a name is made of letters, digits and . _ - and starts with a letter, "
                "a digit or _, so not the text 'a/b'"
            ),
        ),
        (
            "{onnx: a.onnx, args: {b: 1}}",
            "plan.yaml:2:10: models[0]: an onnx: model takes no args: nothing is called to make it",
        ),
        (
            "{onnx: a.onnx, export: {opsets: 17}}",
            "plan.yaml:2:10: models[0]: an onnx: model takes no export: it is measured as it is",
        ),
        (
            "{zoo: detector, references: refs}",
            "plan.yaml:2:10: models[0]: references belongs to onnx: models; the others are held against torch",
        ),
        (
            "{zoo: detector, inputs: in.npz}",
            "plan.yaml:2:10: models[0]: inputs belongs to onnx: and factory: models; a model of the zoo has its own",
        ),
        (
            "{factory: 'a:b', args: {c: .nan}}",
            "plan.yaml:2:33: models[0].args: args holds a number that is not finite, which cannot be handed on",
        ),
        (
            "{factory: 'a:b', args: {c: !!binary aGk=}}",
            "plan.yaml:2:37: models[0].args.c: expected plain data (text, numbers, lists, mappings), found other data",
        ),
        (
            "{factory: 'a:b', dynamic: {x: {first: batch}}}",
            "plan.yaml:2:41: models[0].dynamic.x: expected a whole number, found the text 'first'",
        ),
        (
            "{factory: 'a:b', dynamic: {x: {-1: batch}}}",
            "plan.yaml:2:41: models[0].dynamic.x: expected at least 0, found -1",
        ),
        (
            "{factory: 'a:b', dynamic: {word: {0: a b}}}",
            (
                "plan.yaml:2:47: models[0].dynamic.word[0]: a dimension's name is letters, digits and _, such as batch, "
                "not the text 'a b'"
            ),
        ),
        (
            "{factory: 'a:b', dynamic: {mask: {1: past+new}}}",
            (
                "plan.yaml:2:47: models[0].dynamic.mask[1]: a dimension's name is no sum or product of others, as the text "
                "'past+new' seems to be: let the model take the parts as inputs of their own and join them in forward(), "
                "as docs/export-matrix.md shows"
            ),
        ),
        (
            "{factory: 'a:b', dynamic: {x: {0: batch}}, ranges: {bach: [1, 8]}}",
            "plan.yaml:2:10: models[0]: ranges names 'bach', which dynamic does not declare, did you mean 'batch'?",
        ),
        (
            "{zoo: detector, ranges: {batch: [8, 1]}}",
            "plan.yaml:2:42: models[0].ranges.batch: the range [8, 1] must start at 1 or more and not run backwards",
        ),
        (
            "{zoo: detector, ranges: {batch: 8}}",
            (
                "plan.yaml:2:42: models[0].ranges.batch: a range is [smallest, largest] in whole numbers, such as [1, 8], "
                "not the number 8"
            ),
        ),
        (
            "{zoo: detector, export: {timeout_s: 3}}",
            "plan.yaml:2:35: unknown key 'timeout_s' in models[0].export; it belongs under export",
        ),
        (
            "{zoo: detector}, {factory: 'a.py:f', name: detector}",
            "plan.yaml:2:53: models[1].name: two models are named 'detector'; give one of them another name with name:",
        ),
        (
            "{zoo: detector}, {zoo: detector}",
            "plan.yaml:2:27: models[1]: two models are named 'detector'; give one of them another name with name:",
        ),
    ],
)
def test_a_model_that_is_not_right(read: Read, models: str, message: str) -> None:
    assert complaint(read, f"version: 1\nmodels: [{models}]\n") == message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("exports: {}", "plan.yaml:3:1: unknown key 'exports', did you mean 'export'?"),
        ("export: {opset: 17}", "plan.yaml:3:10: unknown key 'opset' in export, did you mean 'opsets'?"),
        ("opsets: [17]", "plan.yaml:3:1: unknown key 'opsets'; it belongs under export"),
        (
            "zzz: 1",
            (
                "plan.yaml:3:1: unknown key 'zzz'; offered: version, name, models, export, devices, runtimes, providers, "
                "shapes, session, measure, verify, fallback, placement, skip, exclude, known_failures, fail_on"
            ),
        ),
        ("export: [1]", "plan.yaml:3:9: export: expected a mapping, found a list"),
        (
            "export: {opsets: [17, 99]}",
            "plan.yaml:3:23: export.opsets[1]: opset 99 is not one that Edgesweep asks for; it takes 7 to 26",
        ),
        (
            "export: {opsets: 6}",
            "plan.yaml:3:18: export.opsets: opset 6 is not one that Edgesweep asks for; it takes 7 to 26",
        ),
        (
            "export: {opsets: ['18..x']}",
            (
                'plan.yaml:3:19: export.opsets[0]: an opset is a whole number or a range such as "18..23", '
                "not the text '18..x'"
            ),
        ),
        (
            "export: {opsets: [20..18]}",
            'plan.yaml:3:19: export.opsets[0]: the opset range "20..18" runs backwards; write it as "18..20"',
        ),
        (
            "export: {opsets: [20..40]}",
            "plan.yaml:3:19: export.opsets[0]: opset 40 is not one that Edgesweep asks for; it takes 7 to 26",
        ),
        (
            "export: {opsets: [true]}",
            'plan.yaml:3:19: export.opsets[0]: an opset is a whole number or a range such as "18..23", not the word true',
        ),
        ("export: {opsets: []}", "plan.yaml:3:18: export.opsets: it needs at least one entry"),
        (
            "export: {precisions: [fp33]}",
            "plan.yaml:3:23: export.precisions[0]: unknown precision 'fp33', did you mean 'fp32'?",
        ),
        (
            "export: {ir_version: 2}",
            "plan.yaml:3:22: export.ir_version: an IR version is asis or a number from 3 to 13, not the number 2",
        ),
        (
            "export: {executor: dask}",
            "plan.yaml:3:9: export: executor: dask needs the scheduler's address, such as address: tcp://host:8786",
        ),
        (
            "export: {exporters: [dynmo]}",
            "plan.yaml:3:22: export.exporters[0]: unknown exporter 'dynmo', did you mean 'dynamo'?",
        ),
        (
            "export: {axes: [batch + height]}",
            (
                "plan.yaml:3:17: export.axes[0]: 'batch + height' is no axes profile; write static, full or dimension names "
                "joined by +, such as batch+height"
            ),
        ),
        (
            "export: {axes: [asis]}",
            "plan.yaml:3:17: export.axes[0]: the axes profile 'asis' belongs to onnx: models, which have it by themselves",
        ),
        ("export: {timeout_s: 0}", "plan.yaml:3:21: export.timeout_s: expected more than 0, found 0"),
        (
            "export: {timeout_s: .inf}",
            "plan.yaml:3:21: export.timeout_s: expected a finite number, found the number inf",
        ),
        (
            "export: {memory_bytes: 4GiB}",
            "plan.yaml:3:24: export.memory_bytes: expected a whole number, found the text '4GiB'",
        ),
        (
            "devices: pi5",
            (
                "plan.yaml:3:10: devices: write all, a list of device names such as [pi5], or labels such as "
                "\"arch=aarch64,site=lab1\", not the text 'pi5'"
            ),
        ),
        ("runtimes: [1.23]", "plan.yaml:3:11: runtimes: a runtime is text: put the version 1.23 in quotes"),
        (
            "runtimes: newst",
            "plan.yaml:3:11: runtimes: write newest, all or a list of runtimes such as [\"1.23.2\"], not the text 'newst'",
        ),
        (
            "providers: [cpu, tensrrt]",
            "plan.yaml:3:18: providers[1]: unknown provider 'tensrrt', did you mean 'tensorrt'?",
        ),
        (
            "providers: ['cuda,cuda']",
            "plan.yaml:3:13: providers[0]: the provider chain 'cuda,cuda' names cuda twice",
        ),
        (
            "providers: [cuda, {chain: cuda, options: {cuda: {a: '1'}}}]",
            "plan.yaml:3:19: providers[1]: the chain 'cuda' is listed with other options before; give each a plan of its own",
        ),
        (
            "providers: [{chain: cuda, options: {cda: {}}}]",
            "plan.yaml:3:13: providers[0]: options names 'cda', which is not in the chain, did you mean 'cuda'?",
        ),
        (
            "providers: [{chain: cuda, opions: {}}]",
            "plan.yaml:3:27: unknown key 'opions' in providers[0], did you mean 'options'?",
        ),
        ("providers: []", "plan.yaml:3:12: providers: it needs at least one entry"),
        ("verify: {absolute: -1}", "plan.yaml:3:20: verify.absolute: expected at least 0, found -1"),
        ("verify: {}", "plan.yaml:3:9: verify: nothing is allowed here; give absolute, relative or sqnr_db"),
        (
            "verify: {providers: {openvin: {absolute: 1}}}",
            "plan.yaml:3:21: verify.providers: unknown provider 'openvin', did you mean 'openvino'?",
        ),
        (
            "verify: {providers: {cuda: {absolut: 1}}}",
            "plan.yaml:3:29: unknown key 'absolut' in verify.providers.cuda, did you mean 'absolute'?",
        ),
        ("providers: cpu", "plan.yaml:3:12: providers: expected a list, found the text 'cpu'"),
        ("shapes: [exmple]", "plan.yaml:3:10: shapes[0]: unknown word 'exmple', did you mean 'example'?"),
        ("shapes: [{}]", "plan.yaml:3:10: shapes[0]: it needs at least one entry"),
        ("shapes: [{batch: 0}]", "plan.yaml:3:18: shapes[0].batch: expected at least 1, found 0"),
        ("shapes: {batch: yes}", "plan.yaml:3:17: shapes.batch: expected a whole number, found the text 'yes'"),
        ("session: {threads: [0]}", "plan.yaml:3:21: session.threads[0]: expected at least 1, found 0"),
        (
            "session: {threads: [true]}",
            "plan.yaml:3:21: session.threads[0]: expected a whole number, found the word true",
        ),
        (
            "session: {graph_optimization: [bsic]}",
            "plan.yaml:3:32: session.graph_optimization[0]: unknown word 'bsic', did you mean 'basic'?",
        ),
        (
            "session: {scenario: paced}",
            "plan.yaml:3:21: session.scenario: paced needs its period in seconds, such as paced=0.1",
        ),
        (
            "session: {scenario: [closed, pased=1]}",
            "plan.yaml:3:30: session.scenario[1]: unknown scenario 'pased=1', did you mean 'paced'?",
        ),
        (
            "session: {scenario: sustained=119}",
            (
                "plan.yaml:3:21: session.scenario: a sustained trial lasts 120 s at least, not 119; "
                "its minutes are compared"
            ),
        ),
        (
            "session: {scenario: paced=-1}",
            "plan.yaml:3:21: session.scenario: '-1' is no number of seconds; write paced=0.1",
        ),
        (
            "session: {scenario: closed=1}",
            ("plan.yaml:3:21: session.scenario: the closed loop goes back to back and takes no seconds; write closed"),
        ),
        (
            "session: {scenario: 0.1}",
            (
                "plan.yaml:3:21: session.scenario: a scenario is closed, paced=SECONDS or sustained=SECONDS, "
                "not the number 0.1"
            ),
        ),
        ("session: {concurrency: 0}", "plan.yaml:3:24: session.concurrency: expected at least 1, found 0"),
        (
            "session: {concurrency: [1, 4], scenario: paced=0.1}",
            (
                "plan.yaml:3:24: session.concurrency: concurrency above 1 belongs to the closed loop, not to paced=0.1; "
                "put the two into plans of their own"
            ),
        ),
        (
            "session: {page_cache: [cool]}",
            "plan.yaml:3:24: session.page_cache[0]: unknown word 'cool', did you mean 'cold'?",
        ),
        (
            "session: {pin_threads: 1}",
            "plan.yaml:3:24: session.pin_threads: expected true or false, found the number 1",
        ),
        (
            "measure: {scenario: closed}",
            "plan.yaml:3:11: unknown key 'scenario' in measure; it belongs under session",
        ),
        (
            "measure: {warmup_max_s: 0.2}",
            (
                "plan.yaml:3:25: measure.warmup_max_s: warmup_min_s (0.5) is above warmup_max_s (0.2) with the preset "
                "quick; set both"
            ),
        ),
        (
            "measure: {target_half_width: 5}",
            (
                "plan.yaml:3:30: measure.target_half_width: target_half_width is a share of the median from 0.0001 to 0.5, "
                "such as 0.005, or 0 for no target, not 5"
            ),
        ),
        ("measure: {preset: smok}", "plan.yaml:3:19: measure.preset: unknown word 'smok', did you mean 'smoke'?"),
        ("measure: {trials: 1.5}", "plan.yaml:3:19: measure.trials: expected a whole number, found the number 1.5"),
        ("measure: {trials: 5000}", "plan.yaml:3:19: measure.trials: expected at most 1000, found 5000"),
        ("measure: {io_mode: host}", "plan.yaml:3:11: unknown key 'io_mode' in measure; it belongs under session"),
        (
            "measure: {preset: compat, min_inferences: 5}",
            (
                "plan.yaml:3:43: measure.min_inferences: the preset compat times nothing, so min_inferences means nothing there; "
                "take it out, or another preset"
            ),
        ),
        (
            "measure: {preset: smoke, min_duration_s: 5}",
            (
                "plan.yaml:3:42: measure.min_duration_s: min_duration_s (5) is above max_duration_s (2) with the preset smoke; "
                "set both"
            ),
        ),
        (
            "measure: {max_inferences: 50}",
            (
                "plan.yaml:3:27: measure.max_inferences: min_inferences (100) is above max_inferences (50) with the preset "
                "quick; set both"
            ),
        ),
        (
            "measure: {deadlines_s: {lod: 3}}",
            "plan.yaml:3:25: measure.deadlines_s: unknown key 'lod', did you mean 'load'?",
        ),
        ("fallback: on", "plan.yaml:3:11: fallback: unknown word 'on'; offered: allow, warn, fail"),
        ("fallback: 3", "plan.yaml:3:11: fallback: expected one of allow, warn, fail, found the number 3"),
        (
            "placement: {min_nodes: 90}",
            (
                "plan.yaml:3:24: placement.min_nodes: a share lies above 0 and is at most 1, such as 0.9 for 90 %, and is not "
                "the number 90"
            ),
        ),
        (
            "placement: {min_times: 0.9}",
            "plan.yaml:3:13: unknown key 'min_times' in placement, did you mean 'min_time'?",
        ),
        (
            "placement: {}",
            (
                "plan.yaml:3:12: placement: placement sets no limit; give min_nodes or min_time, such as min_time: 0.9, or leave it "
                "out"
            ),
        ),
        (
            "fallback: fail\nplacement: {min_time: 0.9}",
            (
                "plan.yaml:4:12: placement: fallback: fail refuses any node elsewhere, so placement has no say; take one of the two "
                "out"
            ),
        ),
        (
            "measure: {node_profile: 5}",
            "plan.yaml:3:25: measure.node_profile: expected true or false, found the number 5",
        ),
        (
            "fail_on: [new-failures]",
            "plan.yaml:3:11: fail_on[0]: unknown word 'new-failures', did you mean 'new-failure'?",
        ),
        ("fail_on: [none, failure]", "plan.yaml:3:10: fail_on: none cannot stand beside other words"),
        (
            "exclude: [{model: detectr}]",
            "plan.yaml:3:19: exclude[0].model: the plan has no model 'detectr', did you mean 'detector'?",
        ),
        (
            "exclude: [{reason: because}]",
            "plan.yaml:3:11: exclude[0]: this entry would match every cell; name at least a model, an opset or a device",
        ),
        (
            "known_failures: [{opset: 13, until: 2027-02-30}]",
            "plan.yaml:3:37: known_failures[0].until: a date is written as 2027-01-31, not the text '2027-02-30'",
        ),
        (
            "known_failures: [{opset: 13, until: 7}]",
            "plan.yaml:3:37: known_failures[0].until: a date is written as 2027-01-31, not the number 7",
        ),
        (
            "exclude: [{opsets: 13}]",
            "plan.yaml:3:12: unknown key 'opsets' in exclude[0], did you mean 'opset'?",
        ),
    ],
)
def test_a_line_that_is_not_right(read: Read, line: str, message: str) -> None:
    assert complaint(read, HEAD + line + "\n") == message


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file(read: Read) -> None:
    text = (
        "version: 1\nmodels:\n  - zoo: detecter\n    nmae: d\nshapes:\n  - batch: -1\nexport:\n"
        "  axes: [full, full+batch]\nfallback: maybe\n"
    )
    assert complaint(read, text).splitlines() == [
        "plan.yaml:3:10: models[0].zoo: the zoo has no model 'detecter', did you mean 'detector'?",
        "plan.yaml:4:5: unknown key 'nmae' in models[0], did you mean 'name'?",
        "plan.yaml:6:12: shapes[0].batch: expected at least 1, found -1",
        (
            "plan.yaml:8:16: export.axes[1]: 'full+batch' is no axes profile; write static, full or dimension names joined "
            "by +, such as batch+height"
        ),
        "plan.yaml:9:11: fallback: unknown word 'maybe'; offered: allow, warn, fail",
    ]


def test_the_name_of_the_file_stands_before_the_sentence(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("version: 1\nmodels: []\n")
    with pytest.raises(EdgesweepError) as caught:
        load_plan(path)
    assert caught.value.message == f"{path}:2:9: models: it needs at least one entry"
    assert "plan schema" in caught.value.remedy


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EdgesweepError) as missing:
        load_plan(tmp_path / "none.yaml")
    assert missing.value.message == f"{tmp_path}/none.yaml: the file cannot be read: no such file or directory"
    with pytest.raises(EdgesweepError) as folder:
        load_plan(tmp_path)
    assert folder.value.message == f"{tmp_path}: the file cannot be read: is a directory"
    (tmp_path / "latin.yaml").write_bytes("# \xe9\n".encode("latin-1"))
    with pytest.raises(EdgesweepError) as latin:
        load_plan(tmp_path / "latin.yaml")
    assert latin.value.message == f"{tmp_path}/latin.yaml:1:1: the file is not text in UTF-8"
    assert latin.value.exit_code is ExitCode.USAGE
