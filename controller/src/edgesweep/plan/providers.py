"""Short and full names of execution providers: plans and cell names use short ones, onnxruntime the full ones."""

from __future__ import annotations

from edgesweep_worker.providers import SHORT_NAMES

from edgesweep.did_you_mean import hint

#: What onnxruntime's own names of providers end with.
SUFFIX = "ExecutionProvider"

_FULL_NAMES = {full.lower(): short for short, full in SHORT_NAMES.items()}


def full_name(name: str) -> str:
    """Onnxruntime's name for `name`; a full name stays as it is, known or not.

    Raises:
        ValueError: `name` is neither a known short name nor a full one; the text is a sentence for the user.
    """
    full = SHORT_NAMES.get(name.lower())
    if full is not None:
        return full
    if name.lower() in _FULL_NAMES:
        return SHORT_NAMES[_FULL_NAMES[name.lower()]]
    if name.endswith(SUFFIX) and name.isidentifier() and name != SUFFIX:
        return name
    raise ValueError(f"unknown provider '{name}'{hint(name, SHORT_NAMES)}")


def short_name(name: str) -> str:
    """The short name of `name`; a full name that has none stays as it is.

    Raises:
        ValueError: as `full_name`.
    """
    full = full_name(name)
    return _FULL_NAMES.get(full.lower(), full)


def parse_chain(text: str) -> tuple[str, ...]:
    """The short names of a chain as plans write it, e.g. `tensorrt,cuda`, in order.

    Raises:
        ValueError: an unknown, an empty or a repeated provider; the text is a sentence for the user.
    """
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise ValueError(f"the provider chain '{text}' has an empty entry; write it as tensorrt,cuda")
    chain = tuple(short_name(name) for name in names)
    for position, name in enumerate(chain):
        if name in chain[:position]:
            raise ValueError(f"the provider chain '{text}' names {name} twice")
    return chain
