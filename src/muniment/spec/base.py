"""What all models of the specification are made of. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

NAME_PATTERN = "^[a-z][a-z0-9]{0,19}$"
SUBNET_PATTERN = "^[0-9.]{7,15}/[0-9]{1,2}$"
IMAGE_PATTERN = "^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$"
# A name ends up in file names, DNS labels and process names; no hyphen, so that `alpha-1` has one reading.
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern="^[A-Za-z0-9.:_-]+$")]


class Strict(BaseModel):
    """Base of all models: unknown fields are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
