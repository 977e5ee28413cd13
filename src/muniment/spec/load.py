"""Reading a specification."""

from __future__ import annotations

from pathlib import Path

from muniment.spec.document import read_model
from muniment.spec.model import Consortium


def load(path: Path) -> Consortium:
    """The consortium that the YAML file at `path` specifies.

    Raises `InputError` with everything that is wrong, one line each: `FILE:LINE: field: what; what would be right`.
    """
    return read_model(path, Consortium, made_by="muniment init")
