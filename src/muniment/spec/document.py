"""YAML documents of people, read into strict models with file, line and field in every error."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from muniment.kernel.errors import InputError
from muniment.spec.base import Strict
from muniment.spec.sentences import Location, dotted, known_prefix, problem

MOST_BYTES = 1024 * 1024
MOST_NESTING = 20
"""Specifications nest five deep; the bound keeps hostile files from exhausting the stack."""

M = TypeVar("M", bound=Strict)

_SCALARS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass
class _Document:
    """Plain values, the line of every field, and what was wrong on the way."""

    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)


def read_model(path: Path, model: type[M], *, made_by: str) -> M:
    """Read the YAML file at `path` into `model`; `made_by` is the command that writes such a file.

    Raises `InputError` with all that is wrong, one line each: `FILE:LINE: field: what is wrong; what would be right`.
    """
    document = _parse(path, _read(path, made_by))
    if document.problems:
        raise _refusal(path, document.problems)
    if document.value is None:
        raise InputError(f"{path}: the file is empty: `{made_by}` writes one")
    try:
        # By way of JSON, so that enumerations and tuples may be strict too: a quoted "3" is no number, `yes` no count.
        return model.model_validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = []
        for one in found:
            location, sentence = problem(model, one, document.lines)
            problems.append((document.lines[known_prefix(location, document.lines)], sentence))
        raise _refusal(path, problems) from error


def _refusal(path: Path, problems: list[tuple[int, str]]) -> InputError:
    return InputError("\n".join(f"{path}:{line}: {sentence}" for line, sentence in sorted(problems)))


def _read(path: Path, made_by: str) -> str:
    try:
        # O_NONBLOCK: a pipe given by mistake must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InputError(f"{path} is not a regular file: give the path of a YAML file")
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: give another path; `{made_by}` writes one") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a directory: give the path of a YAML file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): choose another file or mend its permissions") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} is larger than 1 MiB: that is too much for such a file; give another path")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: this is not UTF-8 text: save the file with that encoding") from error


def _parse(path: Path, text: str) -> _Document:
    document = _Document()
    try:
        _check_shape(path, text)
        loader = yaml.CSafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is not None:
                document.lines[()] = root.start_mark.line + 1
                document.value = _value(loader, root, (), document)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # At the end of the file the mark stands one line too far.
        line = min(mark.line + 1, len(text.splitlines())) if mark else 1
        what = error.problem or error.context or "it cannot be parsed"
        raise InputError(f"{path}:{line}: this is not YAML: {what}; check brackets, quotes and indentation") from error
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        line = text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
        raise InputError(f"{path}:{line}: this is not YAML: {what}; remove what is not text") from error
    return document


def _check_shape(path: Path, text: str) -> None:
    """Refuse what makes a small file large or deep, before any of it is built."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif isinstance(event, yaml.AliasEvent):
            raise InputError(f"{path}:{line}: references (*name) are not supported: write the value out")
        if depth > MOST_NESTING:
            raise InputError(f"{path}:{line}: fields are nested more than {MOST_NESTING} deep: check brackets")
        if documents > 1:
            raise InputError(f"{path}:{line}: a second document begins here: one file holds one document, remove ---")


def _value(loader: yaml.CSafeLoader, node: yaml.Node, location: Location, document: _Document) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, location, document)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            document.lines[(*location, index)] = item.start_mark.line + 1
            items.append(_value(loader, item, (*location, index), document))
        return items
    return _scalar(loader, node, location, document)


def _mapping(loader: yaml.CSafeLoader, node: yaml.MappingNode, location: Location, document: _Document) -> Any:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        name = key_node.value
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            shown = name if isinstance(name, str) else "this"
            document.problems.append((line, f"{dotted((*location, shown))}: a field's name is text: put it in quotes"))
            continue
        here = (*location, name)
        if name in found:
            document.problems.append(
                (line, f"{dotted((*location, name))}: given twice, first in line {document.lines[here]}: remove one")
            )
            continue
        document.lines[here] = line
        found[name] = _value(loader, value_node, here, document)
    return found


def _scalar(loader: yaml.CSafeLoader, node: yaml.Node, location: Location, document: _Document) -> Any:
    line = node.start_mark.line + 1
    if node.tag not in _SCALARS:
        document.problems.append((line, f"{dotted(location)}: the tag {node.tag} is not supported: remove it"))
        return None
    if node.tag.endswith(":timestamp"):
        return node.value
    try:
        value = loader.construct_object(node)
        json.dumps(value, allow_nan=False)
    except (ValueError, KeyError, IndexError) as error:
        document.problems.append((line, f"{dotted(location)}: {str(node.value)[:40]!r} cannot be read ({error})"))
        return None
    return value
