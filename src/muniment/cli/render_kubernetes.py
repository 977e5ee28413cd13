"""`muniment render kubernetes`: the objects of a namespace as files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import click
import yaml

from muniment.cli import options
from muniment.identity.model import database_password_path
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError
from muniment.kernel.files import SECRET_MODE, unwritable, write_atomically
from muniment.operate import disruptions, execute
from muniment.operate.execute import Deployment
from muniment.operate.state import State
from muniment.spec.load import load
from muniment.spec.model import Consortium
from muniment.targets.containers.images import images
from muniment.targets.kubernetes import manifests
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.targets.kubernetes.budgets import Disruptions
from muniment.targets.kubernetes.pods import Manifest
from muniment.topology.layout import Layout

SECRETS_FILE = "secrets.yaml"

_HEAD = """\
# Written by `muniment render kubernetes`; change the specification, not this file.
"""
_SECRETS_HEAD = """\
# SECRETS of the identities: never put this file into a repository. Apply it once, by `kubectl create -f secrets.yaml`,
# or hand its objects to whatever keeps your secrets (sealed secrets, external secrets).
"""


@click.command("kubernetes")
@options.specification
@options.state
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory to write into."
)
@click.option("--secrets", is_flag=True, help=f"Write {SECRETS_FILE} too (mode 0600): the Secrets that the pods mount.")
def render_kubernetes(spec: Path, state: Path, output: Path, secrets: bool) -> None:
    """Write plain manifests for Kubernetes, to apply in the order of their names.

    Identities are made in --state when they are not there yet, as `up` does it. The manifests hold no secret: each pod
    mounts a Secret NAME-identity, which --secrets writes, or which you bring by other means.

    Changed manifests restart no node and no peer by themselves: delete their pods one after the other, each when the
    one before is ready again.
    """
    place = State(options.absolute(state))
    wanted, base = load(spec), spec.absolute().parent
    deployment = execute.prepare(wanted, base, place, KubernetesAddresses, settle=settled, layout=Layout.PODS)
    secret = secrets_of(wanted, base, IdentityStore(place.identity).secret)
    files = manifests.ordered([manifests.namespace(deployment.spec), *rendered(deployment, secret)])
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(output, error) from error
    for name, documents in files.items():
        write_atomically(output / name, (_HEAD + dump(documents)).encode())
    click.echo(f"wrote {sum(map(len, files.values()))} objects to {output}")
    if secrets:
        made = manifests.identity_secrets(deployment.topology, deployment.spec, secret)
        write_atomically(output / SECRETS_FILE, (_SECRETS_HEAD + dump(made)).encode(), mode=SECRET_MODE)
        click.echo(f"wrote {len(made)} Secrets to {output / SECRETS_FILE}: keep it out of repositories")


def rendered(deployment: Deployment, secret: manifests.Secrets) -> list[Manifest]:
    """All manifests of a deployment but its namespace and Secrets."""
    return manifests.manifests(
        deployment.topology,
        deployment.spec,
        images({}),
        Disruptions(
            disruptions.own_validators(deployment.identities),
            disruptions.validators_at_once(deployment.spec, deployment.identities),
        ),
        digest=lambda path: hashlib.sha256(secret(path).encode()).hexdigest(),
    )


def secrets_of(spec: Consortium, base: Path, stored: Callable[[str], str]) -> Callable[[str], str]:
    """Secrets by their places in the identity store; passwords of databases outside come from the files that the
    specification names."""
    files = {
        database_password_path(name): base / member.database.password_file
        for name, member in spec.own_members.items()
        if member.database.password_file
    }

    def secret(path: str) -> str:
        if path not in files:
            return stored(path)
        try:
            return files[path].read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{files[path]} cannot be read ({error}): write the database's password there") from error

    return secret


def dump(documents: list[Manifest]) -> str:
    """Documents as YAML, texts of several lines as blocks."""
    return "".join(
        "---\n" + yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True) for one in documents
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and everything out instead of referring to it."""

    def ignore_aliases(self, data: object) -> bool:
        """No references: they are hard to read, and some tools refuse them."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
