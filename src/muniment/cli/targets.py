"""Which target a command works on: chosen at `up`, remembered in the state directory (STATE/target.json)."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from muniment.identity.store import IdentityStore
from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import InputError, MissingToolError, PermanentError
from muniment.kernel.files import make_private_directory, write_atomically
from muniment.operate import execute
from muniment.operate.execute import Deployment
from muniment.operate.state import State
from muniment.spec.load import load
from muniment.spec.model import Consortium
from muniment.targets.base import Target
from muniment.targets.local import LocalTarget
from muniment.targets.loopback import LoopbackAddresses

MEMORY = "target.json"

Command = TypeVar("Command", bound=Callable[..., Any])


class Kind(StrEnum):
    """Where a consortium can run."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True)
class Choice:
    """A target, and what it takes to find it again."""

    target: Kind = Kind.LOCAL
    kubeconfig: str | None = None
    """Absolute path."""
    context: str | None = None
    namespace: str | None = None

    def __str__(self) -> str:
        return "this machine" if self.target is Kind.LOCAL else f"Kubernetes, namespace {self.namespace}"


class Shown(Target, Protocol):
    """A target whose logs are found by name alone."""

    def show_log(self, workload: str, *, lines: int, follow: bool) -> None:
        """`Target.logs`, by the workload's name."""


def options(command: Command) -> Command:
    """--target, --kubeconfig, --context, --namespace."""
    for option in reversed(
        [
            click.option(
                "--target",
                type=click.Choice([kind.value for kind in Kind]),
                help="Where it runs; default: where it ran before, else local: this machine.",
            ),
            click.option(
                "--kubeconfig",
                type=click.Path(path_type=Path, dir_okay=False),
                help="With --target kubernetes: file that names the cluster; default: as for kubectl.",
            ),
            click.option("--context", help="With --target kubernetes: context of that file; default: its current one."),
            click.option(
                "--namespace",
                help="With --target kubernetes: namespace; default: kubernetes.namespace of the specification.",
            ),
        ]
    ):
        command = option(command)
    return command


def choose(
    place: State, target: str | None, kubeconfig: Path | None, context: str | None, namespace: str | None
) -> Choice:
    """What the options of `up` say, and where they say nothing what was chosen before.

    Raises `InputError` for another target, cluster or namespace than the one that the state directory belongs to.
    """
    before = remembered(place)
    kind = Kind(target) if target else before.target if before else Kind.LOCAL
    given = {
        "kubeconfig": str(kubeconfig.absolute()) if kubeconfig else None,
        "context": context,
        "namespace": namespace,
    }
    if kind is Kind.LOCAL and any(given.values()):
        raise click.UsageError("--kubeconfig, --context and --namespace go with --target kubernetes only")
    if before is None:
        return Choice(kind, **given)
    if kind is not before.target or (namespace and namespace != before.namespace):
        raise InputError(
            f"{place.root} belongs to a consortium on {before}: `muniment down` stops it, and another --state is for"
            " another one"
        )
    kept = {name: value or getattr(before, name) for name, value in given.items()}
    return Choice(kind, **kept)


def remembered(place: State) -> Choice | None:
    """The target that the state directory belongs to; None when nothing was started. Raises `InputError` when that is
    not to be read."""
    path = place.root / MEMORY
    try:
        document = json.loads(path.read_bytes())
        return Choice(**{**document, "target": Kind(document["target"])})
    except (FileNotFoundError, NotADirectoryError):
        # Versions that knew one target only remembered none.
        return Choice() if (place.root / "deployment.json").exists() else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}): `muniment up --target …` in a new --state") from error


def prepare(spec: Path, place: State, choice: Choice) -> tuple[Deployment, Shown | None]:
    """Check everything, make the identities that are missing, derive what shall run; and remember the choice. On
    Kubernetes, the target too, since identities are kept there."""
    consortium, base = load(spec), spec.absolute().parent
    if choice.target is Kind.LOCAL:
        deployment = prepare_local(consortium, base, place)
        _remember(place, choice)
        return deployment, None
    clusters = _clusters()
    choice = clusters.settled(replace(choice, namespace=choice.namespace or consortium.kubernetes.namespace))
    make_private_directory(place.root)
    with place.lock():
        deployed: tuple[Deployment, Shown] = clusters.prepare(consortium, base, place, choice)
    _remember(place, choice)
    return deployed


def prepare_local(spec: Consortium, base: Path, place: State) -> Deployment:
    """Check everything, make the identities that are missing, derive what would run on this machine."""
    return execute.prepare(spec, base, place, lambda wanted: LoopbackAddresses(wanted, place.root))


def running(place: State) -> Shown:
    """The target of what runs, for all that needs no specification and no secrets."""
    choice = remembered(place) or Choice()
    if choice.target is Kind.LOCAL:
        return local(place, {}, None)
    found: Shown = _clusters().running(choice, place.record().consortium)
    return found


def local(place: State, programs: dict[str, Path], identities: IdentityStore | None) -> LocalTarget:
    """The local target of a state directory."""
    return LocalTarget(place.root, programs, identities.secret if identities else _no_secret)


def _clusters() -> Any:
    # Its libraries come with an extra of their own, and take a while to import.
    try:
        return importlib.import_module("muniment.cli.clusters")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "muniment":
            raise
        raise MissingToolError(
            f"Kubernetes needs the Python package {error.name}: run pip install 'muniment[operator]'"
        ) from error


def _remember(place: State, choice: Choice) -> None:
    write_atomically(place.root / MEMORY, pretty_json(asdict(choice)).encode())


def _no_secret(path: str) -> str:
    raise PermanentError(f"{path} is not needed here")
