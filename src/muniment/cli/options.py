"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

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


def absolute(path: Path) -> Path:
    """The state directory by its one true name: processes are found by it."""
    return path.resolve()
