"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

SPECIFICATION = Path("consortium.yaml")
STATE = Path(".muniment")

specification = click.argument(
    "spec", metavar="[SPEC]", type=click.Path(path_type=Path), default=SPECIFICATION, required=False
)
"""SPEC."""

state = click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=STATE,
    show_default=True,
    envvar="MUNIMENT_STATE_DIR",
    show_envvar=True,
    help="Directory of identities, content, chain and logs.",
)
"""--state DIR."""

output_directory = click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory to write into."
)
"""-o DIR, of commands that write several files."""


def unit_timeout(seconds: float) -> Callable[[Command], Command]:
    """--unit-timeout, of what carries out rolling changes, with this default."""
    return click.option(
        "--unit-timeout",
        type=click.FloatRange(min=1),
        default=seconds,
        show_default=True,
        help="Seconds that each changed node may take to be fit again before the next one is changed.",
    )


def absolute(path: Path) -> Path:
    """The state directory by its one true name: processes are found by it."""
    return path.resolve()
