"""`muniment render kubernetes`: the objects of a namespace as files."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.cli import options
from muniment.identity.store import IdentityStore
from muniment.kernel.files import SECRET_MODE, unwritable, write_atomically
from muniment.operate import execute
from muniment.operate.manifests import rendered, secrets_of
from muniment.operate.state import State
from muniment.spec.load import load
from muniment.targets.containers.documents import dump as document_text
from muniment.targets.kubernetes import manifests
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.targets.kubernetes.identities import first_store
from muniment.targets.kubernetes.pods import Manifest
from muniment.topology.layout import Layout

SECRETS_FILE = "secrets.yaml"
IDENTITIES_FILE = "identities.yaml"

_HEAD = """\
# Written by `muniment render kubernetes`; change the specification, not this file.
"""
_SECRETS_HEAD = """\
# SECRETS of the identities: never put this file into a repository. Apply it once, by `kubectl create -f {name}`,
# or hand its objects to whatever keeps your secrets (sealed secrets, external secrets).
"""


@click.command("kubernetes")
@options.specification
@options.state
@options.output_directory
@click.option("--secrets", is_flag=True, help=f"Write {SECRETS_FILE} too (mode 0600): the Secrets that the pods mount.")
@click.option(
    "--identities",
    is_flag=True,
    help=f"Write {IDENTITIES_FILE} too (mode 0600): the Secret from which the operator takes all identities.",
)
def render_kubernetes(spec: Path, state: Path, output: Path, secrets: bool, identities: bool) -> None:
    """Write plain manifests for Kubernetes, to apply in the order of their names.

    Identities are made in --state when they are not there yet, as `up` does it. The manifests hold no secret: each pod
    mounts a Secret NAME-identity, which --secrets writes, or which you bring by other means. The operator needs no
    manifests, and makes these Secrets itself from what --identities writes, or from identities that it makes.

    Changed manifests restart no node and no peer by themselves: delete their pods one after the other, each when the
    one before is ready again.
    """
    place = State(options.absolute(state))
    wanted, base = load(spec), spec.absolute().parent
    deployment = execute.prepare(wanted, base, place, KubernetesAddresses, settle=settled, layout=Layout.PODS)
    secret = secrets_of(wanted, base, IdentityStore(place.identity).secret)
    files = manifests.ordered(
        [manifests.namespace(deployment.spec), *rendered(deployment, deployment.topology, secret)]
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(output, error) from error
    for name, documents in files.items():
        write_atomically(output / name, (_HEAD + dump(documents)).encode())
    click.echo(f"wrote {sum(map(len, files.values()))} objects to {output}")
    if secrets:
        _write_secrets(output, SECRETS_FILE, manifests.identity_secrets(deployment.topology, deployment.spec, secret))
    if identities:
        _write_secrets(output, IDENTITIES_FILE, [first_store(place.identity, deployment.spec)])


def _write_secrets(output: Path, name: str, made: list[Manifest]) -> None:
    text = _SECRETS_HEAD.format(name=name) + dump(made)
    write_atomically(output / name, text.encode(), mode=SECRET_MODE)
    click.echo(f"wrote {len(made)} Secrets to {output / name}: keep it out of repositories")


def dump(documents: list[Manifest]) -> str:
    """Documents, one after the other."""
    return "".join(f"---\n{document_text(one)}" for one in documents)
