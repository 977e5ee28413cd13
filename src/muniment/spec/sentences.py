"""The errors of pydantic as sentences for people: what is wrong, and what would be right.

Pure. Error types and their contexts: pydantic-core `error_types`.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from muniment.spec.base import IMAGE_PATTERN, NAME_PATTERN, SUBNET_PATTERN
from muniment.spec.kubernetes import CPU_PATTERN, LABEL_PATTERN, OBJECT_PATTERN, SIZE_PATTERN

Location = tuple[str | int, ...]

_PATTERNS = {
    SUBNET_PATTERN: "write a network as 10.213.0.0/16",
    IMAGE_PATTERN: "write an image as registry.example.org/name:tag",
    NAME_PATTERN: "a name is a small letter and then at most 19 small letters and digits, for example alpha",
    r"^[1-9][0-9]*(MB|GB|TB)$": "write a whole number and MB, GB or TB, for example 100GB",
    r"^(sqlite|postgresql://[^\s]+|mysql://[^\s]+|mariadb://[^\s]+)$": (
        "write sqlite, or postgresql://user@host:port/name, or mysql://user@host:port/name"
    ),
    SIZE_PATTERN: "write a whole number and Mi, Gi or Ti, for example 50Gi",
    CPU_PATTERN: "write a number of processors or of thousandths, for example 2 or 500m",
    LABEL_PATTERN: "write at most 63 small letters, digits and hyphens, for example muniment",
    OBJECT_PATTERN: "write small letters, digits, hyphens and dots, for example fast-disks",
    "^[0-9a-f.:]+/[0-9]{1,3}$": "write a network as 10.0.0.0/8",
    "^[0-9a-f]{128}$": "an enode ID is 128 small hexadecimal digits",
    "^0x[0-9a-fA-F]{40}$": "an address is 0x and 40 hexadecimal digits",
    "^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$": "a peer ID begins with 12D3KooW and has 52 letters and digits",
    "^[A-Za-z0-9.:_-]+$": "a host is an IP address or a DNS name",
}


def _fixed(sentence: str) -> Callable[[Any, Mapping[str, Any]], str]:
    return lambda shown, context: sentence.format(shown=shown, **context)


_SENTENCES: Mapping[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "missing": _fixed("is missing: it must be given"),
    "int_type": _fixed("must be a whole number, not {shown}"),
    "int_from_float": _fixed("must be a whole number, not {shown}"),
    "int_parsing": _fixed("must be a whole number, not {shown}"),
    "int_parsing_size": _fixed("is too large a number: {shown}"),
    "greater_than_equal": _fixed("must be at least {ge}, not {shown}"),
    "less_than_equal": _fixed("must be at most {le}, not {shown}"),
    "string_type": _fixed("must be text, not {shown}: put it in quotes if it is meant"),
    "string_too_short": _fixed("must have at least {min_length} characters"),
    "string_too_long": _fixed("must have at most {max_length} characters"),
    "bool_type": _fixed("must be true or false, not {shown}"),
    "bool_parsing": _fixed("must be true or false, not {shown}"),
    "enum": _fixed("must be {expected}, not {shown}"),
    "literal_error": _fixed("must be {expected}, not {shown}"),
    "model_type": _fixed("must hold fields, not {shown}; write {{}} to take all defaults"),
    "dict_type": _fixed("must hold names and their fields, not {shown}"),
    "tuple_type": _fixed("must be a list, not {shown}"),
    "too_short": _fixed("needs at least {min_length}, and has {actual_length}"),
    "too_long": _fixed("may have at most {max_length}, and has more"),
}


def problem(model: type[BaseModel], error: ErrorDetails, given: Collection[Location]) -> tuple[Location, str]:
    """Where the error is, and `field: what is wrong; what would be right`; `given` are the places in the document."""
    location = tuple(part for part in error["loc"] if part != "[key]")
    kind, shown = error["type"], _shown(error["input"])
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        return (
            location,
            f"{dotted(location)}: there is no such field{_nearest(str(location[-1]), fields(model, location[:-1]))}",
        )
    if kind == "value_error":
        sentence = error["msg"].removeprefix("Value error, ")
        location = _meant(model, location, sentence, given)
        sentence = re.sub(f"^{re.escape(dotted(location))}:? ", "", sentence)
    elif kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        sentence = f"{shown} does not fit: {_PATTERNS.get(pattern, f'it must match {pattern}')}"
    elif kind in _SENTENCES:
        sentence = _SENTENCES[kind](shown, context)
    else:
        sentence = f"{error['msg']}, not {shown}"
    return location, f"{dotted(location)}: {sentence}"


def known_prefix(location: Location, known: Mapping[Location, Any]) -> Location:
    """The longest beginning of `location` that is in `known`: a missing field is at its parent."""
    while location and location not in known:
        location = location[:-1]
    return location


def fields(model: type[BaseModel], location: Iterable[str | int]) -> Mapping[str, type[BaseModel] | None]:
    """Names of the fields of the model at `location`, with the model behind each; empty where there is none."""
    here: type[BaseModel] | None = model
    in_collection = False
    for part in location:
        if here is None:
            return {}
        if in_collection:
            in_collection = False
            continue
        found = here.model_fields.get(str(part))
        if found is None:
            return {}
        in_collection = typing.get_origin(found.annotation) in (dict, tuple, list)
        here = _model_in(found.annotation)
    if here is None or in_collection:
        return {}
    return {name: _model_in(found.annotation) for name, found in here.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        if found := _model_in(argument):
            return found
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; the fields here are {', '.join(names)}" if names else ""


def _meant(model: type[BaseModel], location: Location, sentence: str, given: Collection[Location]) -> Location:
    """A check across fields begins its sentence with the field it is about: point there when it exists."""
    words = re.match(r"[a-z0-9_.]+", sentence)
    parts: list[str] = words.group().split(".") if words else []
    for begin in range(len(parts)):
        candidate = (*location, *parts[begin:])
        if candidate in given or candidate[-1] in fields(model, candidate[:-1]):
            return candidate
    return location


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "fields"
    if isinstance(value, list):
        return "a list"
    # A database URL may hold a password, in the wrong place as it is.
    text = re.sub(r"://[^@]*@", "://...@", repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def dotted(location: Location) -> str:
    """A place as people write it, `members.alpha.nodes`; on one line whatever the document's author put in a name."""
    parts = (str(part) for part in location)
    return ".".join(part if part.isprintable() else repr(part) for part in parts) or "the document"
