"""The Kubernetes API as muniment uses it: plain documents in and out, every error one of `kernel.errors`.

Requests that may be repeated without a second effect are, while the API does not answer: an API server that restarts is
no reason to give up. Only `create` is done once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import yaml
from lightkube import ApiError, Client, KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.core_v1 import Namespace
from lightkube.types import CascadeType, PatchType

from muniment.kernel.errors import InputError, MunimentError, PermanentError, TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_blocking

FIELD_MANAGER = "muniment"
ANSWER_SECONDS = 20.0
"""So long the API may be away before a request fails."""

REQUEST_SECONDS = 10.0
FORBIDDEN = 403
_AWAY = frozenset({429, 500, 502, 503, 504})
_MALFORMED = "failed to create typed patch object"
"""What the API server says, with status 500, of a manifest with a field of the wrong type."""

Document = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """A kind of objects, all of them in namespaces."""

    version: str
    """`apps/v1`."""
    name: str
    """`StatefulSet`."""
    irregular_plural: str = ""

    @staticmethod
    def of(manifest: Mapping[str, Any]) -> Kind:
        """The kind of this object. Raises `KeyError` when it does not say it."""
        return Kind(manifest["apiVersion"], manifest["kind"])

    @property
    def plural(self) -> str:
        """The name in addresses: `statefulsets`. English rules, as the kinds that exist follow them."""
        if self.irregular_plural:
            return self.irregular_plural
        lower = self.name.lower()
        if lower.endswith("y"):
            return lower[:-1] + "ies"
        return lower + ("es" if lower.endswith("s") else "s")

    @property
    def resource(self) -> Any:
        """The client library's class; its objects are plain documents."""
        return _resource(self)


@functools.cache
def _resource(kind: Kind) -> Any:
    group, _, version = kind.version.rpartition("/")
    # Not the library's models: they refuse documents of which they do not know, or miss, a field.
    return create_namespaced_resource(group, version, kind.name, kind.plural)


POD = Kind("v1", "Pod")
SERVICE = Kind("v1", "Service")
CONFIG_MAP = Kind("v1", "ConfigMap")
SECRET = Kind("v1", "Secret")
EVENT = Kind("v1", "Event")
STATEFUL_SET = Kind("apps/v1", "StatefulSet")
DEPLOYMENT = Kind("apps/v1", "Deployment")


class ConflictError(TemporaryError):
    """Somebody else was faster: the object is there already, or was changed meanwhile. Look again, then decide."""


class Api:
    """One namespace of one cluster. All methods raise one of `kernel.errors` with one sentence."""

    def __init__(self, client: Client, *, patience: float = ANSWER_SECONDS) -> None:
        self._client = client
        self.patience = patience
        self.namespace: str = client.namespace
        self.server: str = client.config.cluster.server
        self.context: str = client.config.context_name
        self.kubeconfig: Path | None = client.config.fname
        """Where the context comes from; None for a pod's service account."""

    def get(self, kind: Kind, name: str) -> Document | None:
        """The object, or None when there is none of this name."""
        return self._asked(f"read {kind.name} {name}", lambda: _document(kind, self._client.get(kind.resource, name)))

    def list(self, kind: Kind, labels: Mapping[str, str], *, fields: Mapping[str, str] | None = None) -> list[Document]:
        """All objects with these labels, ordered by name."""

        def ask() -> list[Document]:
            found = self._client.list(kind.resource, labels=dict(labels), fields=dict(fields) if fields else None)
            documents = [_document(kind, one) for one in found]
            return sorted(documents, key=lambda document: str(document["metadata"]["name"]))

        return self._asked(f"list objects of kind {kind.name}", ask) or []

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Document:
        """Server-side apply: what the manifest says becomes so, whoever said otherwise. What results."""
        kind, name = Kind.of(manifest), str(manifest["metadata"]["name"])

        def ask() -> Document:
            patched = self._client.patch(
                kind.resource,
                name,
                dict(manifest),
                patch_type=PatchType.APPLY,
                field_manager=FIELD_MANAGER,
                force=True,
                dry_run=dry_run,
            )
            return _document(kind, patched)

        return self._needed(f"apply {kind.name} {name}", ask)

    def create(self, manifest: Mapping[str, Any]) -> Document:
        """Create the object. Raises `ConflictError` when it is there already."""
        kind, name = Kind.of(manifest), str(manifest["metadata"]["name"])
        with self._mapped(f"create {kind.name} {name}"):
            made = self._client.create(kind.resource.from_dict(dict(manifest)), field_manager=FIELD_MANAGER)
            return _document(kind, made)

    def replace(self, manifest: Mapping[str, Any]) -> Document:
        """Replace the object that has exactly the resourceVersion of `manifest`; `ConflictError` when it changed."""
        kind, name = Kind.of(manifest), str(manifest["metadata"]["name"])
        with self._mapped(f"replace {kind.name} {name}"):
            made = self._client.replace(kind.resource.from_dict(dict(manifest)), field_manager=FIELD_MANAGER)
            return _document(kind, made)

    def merge(self, kind: Kind, name: str, change: Mapping[str, Any]) -> Document | None:
        """Merge `change` into the object (RFC 7396); None when there is none of this name."""

        def ask() -> Document:
            patched = self._client.patch(
                kind.resource, name, dict(change), patch_type=PatchType.MERGE, field_manager=FIELD_MANAGER
            )
            return _document(kind, patched)

        return self._asked(f"change {kind.name} {name}", ask)

    def set_status(self, kind: Kind, name: str, status: Mapping[str, Any]) -> None:
        """Merge `status` into the status of the object; nothing happens when there is none of this name."""
        self._asked(
            f"write the status of {kind.name} {name}",
            lambda: self._client.patch(
                kind.resource.Status,
                name,
                {"status": dict(status)},
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            ),
        )

    def delete(self, kind: Kind, name: str) -> None:
        """Delete the object and what it owns; nothing happens when there is none."""
        self._asked(
            f"delete {kind.name} {name}",
            lambda: self._client.delete(kind.resource, name, cascade=CascadeType.BACKGROUND),
        )

    def ensure_namespace(self, manifest: Mapping[str, Any]) -> None:
        """Create the namespace of this API by its manifest; one that is there is left as it is."""

        def ask() -> bool:
            try:
                self._client.get(Namespace, self.namespace)
            except ApiError as error:
                if error.status.code == FORBIDDEN:
                    return True  # who may only see their namespace has one
                raise
            return True

        if self._asked(f"see namespace {self.namespace}", ask) is None:
            with contextlib.suppress(ConflictError), self._mapped(f"create namespace {self.namespace}"):
                made: Any = Namespace.from_dict(dict(manifest))
                self._client.create(made, field_manager=FIELD_MANAGER)

    def log(self, pod: str, container: str, *, lines: int, follow: bool) -> Iterator[str]:
        """Lines of a container's log, with their ends: the last `lines`, and with `follow` what comes then."""
        with self._mapped(f"read the log of {container} in pod {pod}"):
            yield from self._client.log(pod, container=container, tail_lines=lines, follow=follow)

    def _needed(self, doing: str, ask: Callable[[], T]) -> T:
        found = self._asked(doing, ask)
        if found is None:
            raise InputError(f"cannot {doing}: namespace {self.namespace} is not there: create it")
        return found

    def _asked(self, doing: str, ask: Callable[[], T]) -> T | None:
        """What `ask` returns, asked again while the API does not answer; None for "not found"."""

        def probe() -> T | None:
            try:
                with self._mapped(doing):
                    return ask()
            except ConflictError:
                raise
            except TemporaryError as error:
                raise NotYetError(str(error)) from error
            except _NotFoundError:
                return None

        try:
            return wait_blocking("an answer of the Kubernetes API", probe, timeout=self.patience)
        except WaitTimeoutError as error:
            raise TemporaryError(str(error)) from error

    @contextlib.contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            status = error.status
            raise self._refusal(doing, status.code or 0, status.message or "", status.reason) from error
        except httpx2.HTTPStatusError as error:
            raise self._refusal(doing, error.response.status_code, "", None) from error
        except httpx2.HTTPError as error:
            raise TemporaryError(
                f"the Kubernetes API at {self.server} cannot be reached ({error or type(error).__name__}): see whether"
                " the cluster runs and the context is the right one"
            ) from error
        except ConfigError as error:
            raise InputError(f"cannot {doing}: {error}") from error
        except ValueError as error:
            raise PermanentError(
                f"cannot {doing}: what answers at {self.server} is not Kubernetes ({error})"
            ) from error

    def _refusal(self, doing: str, code: int, said: str, reason: str | None) -> MunimentError:
        said = " ".join(said.split()) or f"status {code}"
        match code:
            case 404:
                return _NotFoundError(f"cannot {doing}: {said}")
            case 409:
                # An apply conflicts only while somebody else changes the object this moment.
                return ConflictError(f"cannot {doing}, it was changed meanwhile: {said}")
            case 401:
                return InputError(f"cannot {doing}: the cluster does not know who asks ({said}): renew the credentials")
            case 403 if "being terminated" in said or reason == "NamespaceTerminating":
                return InputError(f"cannot {doing}: {said}: wait until it is gone, and create it anew")
            case 403:
                return InputError(f"cannot {doing}: {said}: grant it, the role is in the chart of muniment")
            case _ if code in _AWAY and _MALFORMED not in said:
                return TemporaryError(f"cannot {doing} now: {said}")
            case _:
                return PermanentError(f"cannot {doing}: the cluster refuses it: {said}")


class _NotFoundError(PermanentError):
    """There is no such object."""


def connect(
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    *,
    request_seconds: float = REQUEST_SECONDS,
    patience: float = ANSWER_SECONDS,
) -> Api:
    """The cluster of a kubeconfig file, or the one that this process runs in.

    Without `kubeconfig` KUBECONFIG and ~/.kube/config count as for other tools, then the pod's service account. Without
    `context` the current one, without `namespace` the context's. Raises `InputError` when there is no usable one.
    """
    config = load_config(kubeconfig, context)
    try:
        client = Client(config=config, namespace=namespace, timeout=httpx2.Timeout(request_seconds))
    except (ConfigError, OSError, ValueError) as error:
        raise InputError(f"the Kubernetes context {config.context_name} cannot be used: {error}") from error
    return Api(client, patience=patience)


def load_config(kubeconfig: Path | None, context: str | None) -> SingleConfig:
    """The context of a kubeconfig as `connect` chooses it. Raises `InputError` when there is no usable one."""
    try:
        found = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
        chosen = found.get(context)
    except (ConfigError, OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        place = kubeconfig or "KUBECONFIG, ~/.kube/config"
        raise InputError(
            f"no Kubernetes cluster is known ({error}; looked in {place}): name one with --kubeconfig and --context"
        ) from error
    if chosen is None or chosen.user is None:
        raise InputError("the Kubernetes context names no user: choose another with --context")
    return chosen


def _document(kind: Kind, found: Any) -> Document:
    # Members of a list come without these two.
    return {"apiVersion": kind.version, "kind": kind.name, **found.to_dict()}
