"""`muniment operator`: keeps consortia on Kubernetes as their resources say."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import click
import yaml

from muniment.cli import options
from muniment.controller import lease
from muniment.controller.credentials import connection
from muniment.controller.resource import definition
from muniment.controller.serve import Operator, Settings
from muniment.kernel import telemetry
from muniment.operate import rollout
from muniment.targets.kubernetes.client import connect, load_config

LEASE = "muniment-operator"
HEALTH_PORT = 8080


@click.group()
def operator() -> None:
    """The operator: keeps consortia on Kubernetes as their resources say."""


@operator.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="File that names the cluster.")
@click.option("--context", help="Context of that file; default: its current one.")
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    help="Namespace to serve, may be given more than once; default: the one that the operator runs in.",
)
@click.option("--all-namespaces", is_flag=True, help="Serve all namespaces; needs rights for the whole cluster.")
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(tempfile.gettempdir()) / "muniment-operator",
    show_default=True,
    help="Directory for what it works on, secrets among it: a volume in memory.",
)
@click.option(
    "--health-port", type=click.IntRange(1, 65535), default=HEALTH_PORT, show_default=True, help="Port of /healthz."
)
@options.unit_timeout(rollout.UNIT_SECONDS)
@click.option("--identity", default=socket.gethostname, help="Name among operators; default: the host's.")
def run(
    kubeconfig: Path | None,
    context: str | None,
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    work: Path,
    health_port: int,
    unit_timeout: float,
    identity: str,
) -> None:
    """Keep every Consortium resource until stopped.

    Of several operators one leads; the others wait. Logs go to standard error, one JSON object per line.
    """
    if all_namespaces and namespaces:
        raise click.UsageError("--namespace and --all-namespaces exclude each other")
    telemetry.configure()
    own = connect(kubeconfig, context, None, request_seconds=lease.REQUEST_SECONDS, patience=0)
    served = () if all_namespaces else namespaces or (own.namespace,)
    settings = Settings(
        namespaces=served,
        work=work / "operator",
        health_port=health_port,
        identity=identity,
        unit_seconds=unit_timeout,
    )

    async def serve() -> None:
        leadership = lease.Leadership(own, LEASE, identity)
        running = Operator(lambda namespace: connect(kubeconfig, context, namespace), leadership, settings)
        await running.run(lambda: connection(load_config(kubeconfig, context)))

    asyncio.run(serve())


@operator.command()
def definitions() -> None:
    """Write the definition of the resource Consortium, for `kubectl apply --server-side -f -`."""
    click.echo(yaml.safe_dump(definition(), sort_keys=False, allow_unicode=True), nl=False)
