"""The Kubernetes target as `cli.targets` opens it. Apart from it, since only this needs the client of clusters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from muniment.cli.targets import Choice, Shown
from muniment.operate import kubernetes
from muniment.operate.execute import Deployment
from muniment.operate.state import State
from muniment.spec.model import Consortium
from muniment.targets.kubernetes.client import Api, connect
from muniment.targets.kubernetes.manifests import namespace
from muniment.targets.kubernetes.target import KubernetesTarget


def settled(choice: Choice) -> Choice:
    """The choice with nothing left open: what is the current context today may be another one tomorrow."""
    api = _connect(choice)
    if api.kubeconfig is None:
        return choice
    return replace(choice, kubeconfig=str(api.kubeconfig.absolute()), context=api.context)


def prepare(spec: Consortium, base: Path, place: State, choice: Choice) -> tuple[Deployment, Shown]:
    """Make the namespace and the identities that are missing, and derive what shall run there. Raises one of
    `kernel.errors`."""
    api = _connect(choice)
    api.ensure_namespace(namespace(kubernetes.in_namespace(spec, api.namespace)))
    return kubernetes.deploy(spec, base, place, api)


def running(choice: Choice, consortium: str) -> Shown:
    """The target of what runs, for all that needs no specification."""
    return KubernetesTarget(_connect(choice), consortium)


def _connect(choice: Choice) -> Api:
    return connect(Path(choice.kubeconfig) if choice.kubeconfig else None, choice.context, choice.namespace)
