"""A small Kubernetes API server for tests: objects in memory, over real HTTP.

It knows what muniment asks for: get, list by labels and fields, create, replace, server-side apply with dry run, merge
patch, delete, and the log of a container. Nothing becomes of the objects by itself: tests say what pods there are.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Document = dict[str, Any]
KINDS = {
    "statefulsets": "StatefulSet",
    "deployments": "Deployment",
    "services": "Service",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "pods": "Pod",
    "events": "Event",
    "leases": "Lease",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "networkpolicies": "NetworkPolicy",
    "servicemonitors": "ServiceMonitor",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "consortia": "Consortium",
}


class KubeApi:
    """The objects of the server, by plural and name, and what was asked of it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Document] = {}
        self.logs: dict[tuple[str, str], str] = {}
        self.requests: list[tuple[str, str]] = []
        self.failures: list[int] = []
        """Statuses to answer the next requests with, instead of doing them."""
        self.port = 0
        self._version = 0
        self._lock = threading.Lock()

    def put(self, plural: str, document: Document) -> Document:
        """Put an object in place as the cluster would."""
        self._version += 1
        document = copy.deepcopy(document)
        document.setdefault("kind", KINDS[plural])
        metadata = document["metadata"]
        metadata.setdefault("namespace", "default")
        metadata["resourceVersion"] = str(self._version)
        self.objects[plural, metadata["name"]] = document
        return document

    def names(self, plural: str) -> list[str]:
        """Names of the objects of a kind."""
        return sorted(name for kind, name in self.objects if kind == plural)

    def writes(self) -> list[tuple[str, str]]:
        """What was asked that may change something."""
        return [(method, path) for method, path in self.requests if method != "GET" and "dryRun" not in path]

    def kubeconfig(self, directory: Path) -> Path:
        """A kubeconfig file for this server."""
        path = directory / "kubeconfig"
        document = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "none"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def answer(self, method: str, target: str, content_type: str, body: bytes) -> tuple[int, Document | str]:
        """Do one request."""
        with self._lock:
            self.requests.append((method, target))
            if self.failures:
                return self.failures.pop(0), "the server is away"
            url = urlsplit(target)
            if url.path.startswith("/api/v1/namespaces") and url.path.count("/") <= 4:
                return 200, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": url.path.rpartition("/")[2]}}
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            _, _, rest = url.path.partition("/namespaces/")
            _, plural, *place = rest.split("/")
            if place[1:] == ["log"]:
                return self._log(place[0], query)
            if place[1:] == ["status"]:
                return self._status(plural, place[0], json.loads(body))
            if not place and method == "GET":
                return 200, {"kind": "List", "metadata": {}, "items": self._listed(plural, query)}
            document = json.loads(body) if body else {}
            if not place:
                return self._create(plural, document)
            return self._one(method, plural, place[0], query, content_type, document)

    def _one(
        self, method: str, plural: str, name: str, query: dict[str, str], content_type: str, document: Document
    ) -> tuple[int, Document | str]:
        current = self.objects.get((plural, name))
        if method == "PATCH" and "apply" in content_type:
            return self._apply(plural, current, document, dry_run="dryRun" in query)
        if current is None:
            return 404, f'{plural} "{name}" not found'
        if method == "DELETE":
            del self.objects[plural, name]
            return 200, {"kind": "Status", "status": "Success"}
        if method == "PATCH":
            return self._apply(plural, current, document, dry_run=False)
        if method == "PUT":
            if document["metadata"].get("resourceVersion") != current["metadata"]["resourceVersion"]:
                return 409, "the object has been modified"
            return 200, self.put(plural, document)
        return 200, current

    def _status(self, plural: str, name: str, document: Document) -> tuple[int, Document | str]:
        current = self.objects.get((plural, name))
        if current is None:
            return 404, f'{plural} "{name}" not found'
        # Of what comes by this door only the status counts.
        return 200, self.put(plural, _merge(copy.deepcopy(current), {"status": document["status"]}))

    def _create(self, plural: str, document: Document) -> tuple[int, Document | str]:
        if (plural, document["metadata"]["name"]) in self.objects:
            return 409, f'{plural} "{document["metadata"]["name"]}" already exists'
        return 201, self.put(plural, document)

    def _apply(
        self, plural: str, current: Document | None, document: Document, *, dry_run: bool
    ) -> tuple[int, Document | str]:
        if current and current.get("immutable") and "data" in document:
            return 422, "field is immutable when `immutable` is set"
        merged = _merge(copy.deepcopy(current or {}), document)
        if dry_run:
            return 200, merged
        if merged == current:
            return 200, current
        return 200, self.put(plural, merged)

    def _listed(self, plural: str, query: dict[str, str]) -> list[Document]:
        labels = _pairs(query.get("labelSelector", ""))
        fields = _pairs(query.get("fieldSelector", ""))
        found = []
        for (kind, _), document in self.objects.items():
            carried = document["metadata"].get("labels") or {}
            has_labels = all(carried.get(name) == value for name, value in labels.items())
            if kind == plural and has_labels and all(document.get(name) == value for name, value in fields.items()):
                found.append(document)
        return found

    def _log(self, pod: str, query: dict[str, str]) -> tuple[int, Document | str]:
        text = self.logs.get((pod, query["container"]))
        if text is None:
            return 404, f'pods "{pod}" not found'
        lines = text.splitlines(keepends=True)
        return 200, "".join(lines[-int(query["tailLines"]) :])


@contextmanager
def serving(api: KubeApi) -> Iterator[KubeApi]:
    """Serve `api` on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, said = api.answer(self.command, self.path, self.headers.get("Content-Type") or "", body)
            if code >= 400:
                said = {"kind": "Status", "status": "Failure", "code": code, "message": said, "reason": ""}
            content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _merge(current: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(current, dict) or not isinstance(change, dict):
        return copy.deepcopy(change)
    for name, value in change.items():
        if value is None:
            current.pop(name, None)
        else:
            current[name] = _merge(current.get(name), value)
    return current


def _pairs(selector: str) -> dict[str, str]:
    pairs = (part.partition("=")[::2] for part in selector.split(",") if part)
    return {name: value.removeprefix("=") for name, value in pairs}
