"""`muniment notary`: the service that accepts files, stores them and anchors them."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.kernel import telemetry
from muniment.notary.serve import serve as serve_notary
from muniment.notary.settings import read


@click.group()
def notary() -> None:
    """The notary: keeps files in IPFS, anchors them on the chain, and gives receipts."""


@notary.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The notary's configuration file (JSON), as `muniment up` and `muniment render` write it.",
)
def serve(config: Path) -> None:
    """Serve the API until stopped. Logs go to standard error, one JSON object per line."""
    settings = read(config)
    telemetry.configure()
    serve_notary(settings)
