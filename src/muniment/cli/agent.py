"""`muniment agent`: the service that judges a member's nodes and peers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from muniment.agent.serve import serve as serve_agent
from muniment.agent.settings import read
from muniment.kernel import telemetry


@click.group()
def agent() -> None:
    """The agent: judges the fitness of one member's nodes and peers."""


@agent.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The agent's configuration file (JSON), as `muniment up` and `muniment render` write it.",
)
def serve(config: Path) -> None:
    """Watch the nodes and peers, and serve their fitness over HTTP until stopped.

    The port opens once everything was judged. Logs go to standard error, one JSON object per line.
    """
    settings = read(config)
    telemetry.configure()
    asyncio.run(serve_agent(settings))
