"""Short texts for a cell's name, for screens that have no room for the whole of it."""

from __future__ import annotations

_SEGMENTS = 7


def without_device(name: str) -> str:
    """`mobile-cnn dynamo-opset18-batch 1.23.2/cpu`, from a cell's full name; what is the default is left out.

    Defaults are fp32, the shape `example` and the session `t1`. A name of another form comes back as it is.
    """
    parts = name.split("/")
    if len(parts) != _SEGMENTS:
        return name
    _, model, variant, runtime, providers, shape, session = parts
    extras = [text for text, default in ((shape, "example"), (session, "t1")) if text != default]
    return " ".join([model, variant.removesuffix("-fp32"), f"{runtime}/{providers}", *extras])


def variant_text(name: str) -> str:
    """`mobile-cnn dynamo-opset18-batch`, from a variant's `model/slug`; fp32 is left out here too."""
    return name.replace("/", " ", 1).removesuffix("-fp32")


def with_device(name: str) -> str:
    """`pi5/mobile-cnn dynamo-opset18-batch 1.23.2/cpu`: the same with the device before it."""
    parts = name.split("/")
    return f"{parts[0]}/{without_device(name)}" if len(parts) == _SEGMENTS else name
