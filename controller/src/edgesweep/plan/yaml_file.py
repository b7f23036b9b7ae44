"""YAML 1.2 with places: the data of a file and the line and column of every part of it.

This is the one module that uses ruamel.yaml. Everything that is wrong with the text itself ends as one sentence that
starts with `file:line:column:`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from edgesweep.errors import EdgesweepError


class _TextDateConstructor(SafeConstructor):
    """Keeps dates as text: YAML 1.2's core schema has none, and the plan's own check gives a better sentence."""

    def construct_text(self, node: ScalarNode) -> str:
        return str(node.value)


_TextDateConstructor.add_constructor("tag:yaml.org,2002:timestamp", _TextDateConstructor.construct_text)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML file that was read: its data, and where each part of the data stands.

    `origin` is the file's name as the user gave it; it starts every message about the file.
    """

    origin: str
    data: Any
    root: Node | None

    def place(self, path: Sequence[str | int], *, key: bool = False) -> tuple[int, int]:
        """The line and column, both from 1, of the value at `path`, or of its key with `key`.

        A part of `path` that the file does not have is passed over, so that the answer is the nearest thing that is
        really there.
        """
        if self.root is None:
            return 1, 1
        node, key_node = self.root, self.root
        for part in path:
            found = _child(node, part)
            if found is not None:
                key_node, node = found
        # A key without a value has its end in the next line: there is nothing to see there.
        empty = isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index
        mark = (key_node if key or empty else node).start_mark
        return mark.line + 1, mark.column + 1

    def there(self, path: Sequence[str | int]) -> tuple[str | int, ...]:
        """The parts of `path` that the file really has."""
        node, parts = self.root, []
        for part in path:
            found = _child(node, part) if node is not None else None
            if found is not None:
                node = found[1]
                parts.append(part)
        return tuple(parts)

    def say(self, path: Sequence[str | int], sentence: str, *, key: bool = False) -> str:
        """`sentence` with the file, line and column of `path` before it."""
        line, column = self.place(path, key=key)
        return f"{self.origin}:{line}:{column}: {sentence}"


def read_yaml(text: str, origin: str, *, code: str = "plan_invalid") -> YamlFile:
    """Parse `text` as one YAML 1.2 document of plain data.

    Args:
        text: The file's text.
        origin: The file's name for messages.
        code: The catalogue code of the error.

    Raises:
        EdgesweepError: `code` with `file:line:column: sentence` when the text is not such a document.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _TextDateConstructor
    try:
        root = yaml.compose(text)
        if root is None:
            return YamlFile(origin, None, None)
        _refuse_loops(root, origin, code)
        # Constructing resolves `<<` inside the nodes themselves, so places are right for merged keys too.
        return YamlFile(origin, yaml.constructor.construct_document(root), root)
    except MarkedYAMLError as error:
        raise EdgesweepError(code, _sentence(error, origin)) from error
    except (YAMLError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise EdgesweepError(code, f"{origin}:1:1: this is not YAML: {first_line}") from error


def read_yaml_file(path: Path, *, code: str = "plan_invalid") -> tuple[YamlFile, str]:
    """Read and parse the file at `path`; gives it parsed and as text.

    Raises:
        EdgesweepError: `code` when the file cannot be read or is no YAML document in UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EdgesweepError(code, f"{path}:1:1: the file is not text in UTF-8", remedy="save it as UTF-8") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EdgesweepError(
            code, f"{path}: the file cannot be read: {reason}", remedy="check the path and its permissions"
        ) from error
    return read_yaml(text, str(path), code=code), text


def _child(node: Node, part: str | int) -> tuple[Node, Node] | None:
    """The key's and the value's node under `node`; for a list both are the entry."""
    if isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
        entry = node.value[part]
        return entry, entry
    if isinstance(node, MappingNode):
        # From the end: a key of the mapping itself comes after the ones merged into it, and wins.
        for key, value in reversed(node.value):
            if isinstance(key, ScalarNode) and key.value == str(part):
                return key, value
    return None


def _refuse_loops(root: Node, origin: str, code: str) -> None:
    """An alias inside its own anchor gives data without an end."""
    done: set[int] = set()
    open_nodes: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            open_nodes.discard(id(node))
            done.add(id(node))
            continue
        if id(node) in open_nodes:
            line, column = node.start_mark.line + 1, node.start_mark.column + 1
            raise EdgesweepError(code, f"{origin}:{line}:{column}: the anchor '{node.anchor}' contains itself")
        if id(node) in done:
            continue
        open_nodes.add(id(node))
        stack.append((node, True))
        if isinstance(node, SequenceNode):
            stack.extend((entry, False) for entry in node.value)
        elif isinstance(node, MappingNode):
            stack.extend((part, False) for pair in node.value for part in pair)


def _sentence(error: MarkedYAMLError, origin: str) -> str:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = " ".join((error.problem or "it cannot be parsed").split())
    if isinstance(error, DuplicateKeyError):
        name = problem.split('"')[1] if '"' in problem else ""
        return f"{origin}:{line}:{column}: the key '{name}' is given twice"
    context = f" {' '.join(error.context.split())}" if error.context else ""
    return f"{origin}:{line}:{column}: this is not YAML: {problem}{context}"
