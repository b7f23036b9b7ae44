"""Exports as a user of torch alone would write them, in a process of their own.

Reads a list of requests as JSON from stdin: `model`, `way`, `opset`. Writes `<model>-<way>-<opset>.onnx` into the folder
given, inputs and torch's outputs of every dynamic model at other sizes and values as `.npy`, and, to `told.json`, what
torch raised. A request that raised nothing got a file, whatever is in it.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import trap_models
from torch.export import Dim

#: Sizes other than the examples', per model; values of the other sign are a case of their own.
SIZES = {
    "linear": [(5, 4)],
    "linear_of_one": [(5, 4)],
    "gru_of_one": [(3, 5, 4)],
    "reshape": [(3, 3, 3), (4, 3, 3)],
    "loop": [(2, 9), (5, 6)],
    "branch": [(5, 4)],
    "threshold": [(5, 4)],
}


def arguments(model):
    example = model.example_inputs
    return tuple(example.values()) if isinstance(example, dict) else example


def keywords(model, way):
    """What the request adds for dynamic dimensions; nothing for a static one."""
    if way in ("dynamo", "torchscript"):
        return {"dynamo": way == "dynamo"}
    axes = model.dynamic["x"]
    if way == "named":
        dims = {axis: Dim(name, min=model.ranges[name][0], max=model.ranges[name][1]) for axis, name in axes.items()}
        return {"dynamo": True, "dynamic_shapes": (dims,)}
    if way == "auto":
        return {"dynamo": True, "dynamic_shapes": (dict.fromkeys(axes, Dim.AUTO),)}
    return {"dynamo": way == "dynamo_axes", "dynamic_axes": {"x": dict(axes)}}


def write_cases(name, model, folder):
    cases = [("example", arguments(model)[0])]
    cases += [("x".join(map(str, shape)), torch.rand(shape)) for shape in SIZES[name]]
    cases.append(("negative", -torch.rand(SIZES[name][0])))
    cases.append(("small", torch.rand(SIZES[name][0]) * 0.1))
    for label, x in cases:
        case = folder / name / label
        case.mkdir(parents=True)
        np.save(case / "x.npy", x.numpy(), allow_pickle=False)
        with torch.no_grad():
            np.save(case / "want.npy", model.module(x).numpy(), allow_pickle=False)


def main():
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    told = {}
    models = {}
    for request in json.load(sys.stdin):
        name, way, opset = request["model"], request["way"], request["opset"]
        if name not in models:
            models[name] = getattr(trap_models, name)()
            models[name].module.eval()
            if name in SIZES:
                write_cases(name, models[name], folder)
        model = models[name]
        key = f"{name}-{way}-{opset}"
        names = list(model.dynamic)
        try:
            torch.onnx.export(
                model.module,
                arguments(model),
                str(folder / f"{key}.onnx"),
                opset_version=opset,
                input_names=names,
                external_data=False,
                verbose=False,
                **keywords(model, way),
            )
        except Exception as error:  # noqa: BLE001 - what torch raises is what is asked for
            told[key] = f"{type(error).__name__}: {error}"
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


main()
