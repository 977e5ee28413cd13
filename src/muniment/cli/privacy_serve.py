"""`muniment privacy serve`: one privacy manager."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from muniment.kernel import telemetry
from muniment.privacy.doors import addresses, open_door


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The manager's configuration file (JSON), as `muniment up` and `muniment render` write it.",
)
def serve(config: Path) -> None:
    """Serve until stopped. Logs go to standard error, one JSON object per line."""
    doors = [open_door(place) for place in addresses(config)]
    # Only now: what follows takes most of a second to import, and requests wait at the open doors meanwhile.
    settings = importlib.import_module("muniment.privacy.settings").read(config)
    telemetry.configure()
    service = importlib.import_module("muniment.privacy.serve")
    doors = doors or [open_door(place) for place in (settings.q2t, settings.p2p, settings.status)]
    service.serve(settings, service.Doors(*doors))
