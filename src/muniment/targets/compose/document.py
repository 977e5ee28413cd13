"""The compose file of a topology (https://github.com/compose-spec/compose-spec). Pure.

Every workload has three services at most: one that places its files with their secrets, one that prepares its volume,
and itself. The first two end; `docker compose up` runs them again before the workload, each time it is made anew.

- The configuration is in a volume that the workload cannot write to: a peer cannot spoil its peerstore.
- Placing is the only step that runs as root, because new volumes belong to root; it has no other rights than to give
  files away. Everything else runs as an ordinary user, without capabilities, on a read-only file system.
- docker compose 1.29 reads it too: no newer field is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from muniment.spec.model import Consortium
from muniment.targets.compose.addresses import PUBLISHED, ComposeAddresses
from muniment.targets.containers.images import FIELDS
from muniment.targets.containers.ports import PLACE, ROOT, USER, kind_of
from muniment.targets.containers.views import DESCRIPTION, Place, View, view
from muniment.topology.model import Program, Role, Topology, Workload

NETWORK = "consortium"
TEMPLATES = ROOT / "templates"
SECRETS = ROOT / "secrets"
CHECK_SECONDS = 2
CHECKS = 15

_OWN_HEALTH = {Role.KUBO: ("api", "/version", "POST"), Role.CLUSTER: ("api", "/health", "GET")}
"""Peers answer for themselves: what their agent says of them concerns their siblings too."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """What goes into the folder, beside the files of secrets."""

    document: Document
    """compose.yaml."""
    views: Mapping[str, View]
    """What is placed, by workload."""
    images: Mapping[str, str]
    """Variables of .env: images."""


def folder(topology: Topology, spec: Consortium, images: Mapping[Program, str]) -> Folder:
    """Everything of a topology; `spec` must be `addresses.settled`, and `topology` derived from it."""
    addresses = ComposeAddresses(spec)
    services: Document = {}
    volumes: Document = {}
    views = {}
    for workload in topology.workloads:
        views[workload.name] = _view(workload, addresses)
        services |= _services(workload, topology, spec, addresses, with_secrets=bool(views[workload.name].secrets))
        volumes |= {f"{kind}-{workload.name}": {} for kind in ("config", "data")}
    network = {"driver": "bridge", "ipam": {"config": [{"subnet": spec.compose.subnet}]}}
    document = {"services": services, "networks": {NETWORK: network}, "volumes": volumes}
    return Folder(document, views, {variable(program): image for program, image in images.items()})


def variable(program: Program) -> str:
    """The variable of .env that names the image of a program."""
    return f"{FIELDS[program].upper()}_IMAGE"


def _view(workload: Workload, addresses: ComposeAddresses) -> View:
    owners = {ROOT / "data": workload.name}
    # The run directory is made by compose, in memory.
    place = Place(templates=TEMPLATES, secrets=SECRETS, owners=owners, user=USER)
    found = view([workload], addresses, place)
    run = str(addresses.run(workload.name))
    directories = [path for path in found.description["directories"] if path != run]
    return View({**found.description, "directories": directories}, found.templates, found.secrets)


def _services(
    workload: Workload, topology: Topology, spec: Consortium, addresses: ComposeAddresses, *, with_secrets: bool
) -> Document:
    name = workload.name
    placing = f"{name}-place"
    services: Document = {placing: _placing(name, with_secrets=with_secrets)}
    before = {placing: {"condition": "service_completed_successfully"}}
    common = _common(workload, addresses)
    if workload.prepare is not None:
        program = workload.prepare.program or workload.program.value
        services[f"{name}-prepare"] = {
            **common,
            "entrypoint": [program],
            "command": _literal(workload.prepare.arguments),
            "depends_on": before,
            "network_mode": "none",
            "restart": "no",
        }
        before = {f"{name}-prepare": {"condition": "service_completed_successfully"}}
    needed = {one: {"condition": "service_healthy"} for one in _needed(workload, topology)}
    services[name] = {
        **common,
        "entrypoint": [workload.program.value],
        "command": _literal(workload.arguments),
        "depends_on": {**before, **needed},
        "networks": {NETWORK: {"ipv4_address": addresses.address(name)}},
        "restart": "unless-stopped",
        "stop_grace_period": f"{workload.stop_seconds}s",
        "healthcheck": _health(workload, addresses),
        **_published(workload, spec, addresses),
    }
    return services


def _placing(name: str, *, with_secrets: bool) -> Document:
    secrets = [f"./secrets/{name}:{SECRETS}:ro"] if with_secrets else []
    return {
        "image": _image(Program.MUNIMENT),
        "entrypoint": ["python", "-I", "-S", str(PLACE)],
        "command": [str(TEMPLATES / DESCRIPTION)],
        "user": "0:0",
        "read_only": True,
        "cap_drop": ["ALL"],
        # To give files away, and to replace those that were given away.
        "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
        "security_opt": ["no-new-privileges:true"],
        "network_mode": "none",
        "restart": "no",
        "volumes": [
            f"./config/{name}:{TEMPLATES}:ro",
            *secrets,
            f"config-{name}:{ROOT / 'config'}",
            f"data-{name}:{ROOT / 'data'}",
        ],
    }


def _common(workload: Workload, addresses: ComposeAddresses) -> Document:
    name = workload.name
    environment = {"HOME": str(addresses.data(name)), "LANG": "C.UTF-8", **dict(workload.environment)}
    return {
        "image": _image(workload.program),
        "user": f"{USER}:{USER}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "working_dir": str(addresses.data(name)),
        "environment": environment,
        "volumes": [f"config-{name}:{ROOT / 'config'}:ro", f"data-{name}:{ROOT / 'data'}"],
        "tmpfs": ["/tmp:mode=1777", f"{addresses.run(name)}:mode=0700,uid={USER},gid={USER}"],  # noqa: S108 - in a container
    }


def _needed(workload: Workload, topology: Topology) -> list[str]:
    """Workloads whose readiness this one waits for."""
    urls = {probe.url for probe in workload.needs}
    names = [other.name for other in topology.workloads if other.ready.url in urls]
    if workload.role in (Role.PRIVACY, Role.NOTARY):
        names += [server.name for server in topology.of(workload.member, Role.DATABASE)]
    return names


def _published(workload: Workload, spec: Consortium, addresses: ComposeAddresses) -> Document:
    if spec.compose.host is None:
        return {}
    open_ = PUBLISHED.get(kind_of(workload.name), ())
    ports = [port for port in workload.ports if port.name in open_]
    mapped = [f"{addresses.published(workload.name, port.name).port}:{port.listen.port}" for port in ports]
    return {"ports": mapped} if mapped else {}


def _health(workload: Workload, addresses: ComposeAddresses) -> Document:
    probe = workload.ready
    if own := _OWN_HEALTH.get(workload.role):
        place = addresses.reach(workload.name, own[0])
        url, method = f"http://{place.host}:{place.port}{own[1]}", own[2]
    else:
        url, method = probe.url, probe.method
    test = _python_check(url) if workload.program is Program.MUNIMENT else _shell_check(url, method)
    times = {"interval": f"{CHECK_SECONDS}s", "timeout": "5s", "retries": CHECKS, "start_period": "60s"}
    return {"test": test, **times}


def _python_check(url: str) -> list[str]:
    script = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)"
    return ["CMD", "python", "-I", "-c", script, url]


def _shell_check(url: str, method: str) -> list[str]:
    """Images of engines have wget or bash, rarely both."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/{parts.hostname}/{parts.port}"]
    post = "--post-data= " if method == "POST" else ""
    length = "Content-Length: 0\\r\\n" if method == "POST" else ""
    ask = f"{method} {parts.path} HTTP/1.0\\r\\nHost: {parts.netloc}\\r\\n{length}\\r\\n"
    script = f"exec 3<>/dev/tcp/{parts.hostname}/{parts.port} && printf '{ask}' >&3 && head -n 1 <&3 | grep -q ' 20'"
    return [
        "CMD-SHELL",
        f'if command -v wget >/dev/null; then wget -q -O /dev/null {post}{url}; else bash -c "{script}"; fi',
    ]


def _image(program: Program) -> str:
    return f"${{{variable(program)}}}"


def _literal(arguments: tuple[str, ...]) -> list[str]:
    # Compose replaces $NAME in its file.
    return [argument.replace("$", "$$") for argument in arguments]
