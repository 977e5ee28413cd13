"""The gateway's haproxy.cfg as text. Pure.

What it promises, and how:

- **A request that one node cannot answer is sent to another one.** The whole request is buffered before it is sent, and
  sent again on every retryable error. Limit: a request above `BUFFER_BYTES` is not kept whole; it is sent to another
  node when it could not be connected, but not when the node dies over it.
- **Only fit nodes get requests.** A node's check has two steps: a question to the node itself (it is dead: out), then
  the agent's judgement, exactly its `/nodes/NAME/ready` (it is unfit: out).
- **The agent's death changes nothing.** The second step does not ask the agent directly but through `judgement`, which
  remembers the agent's last answer for each node and repeats it for as long as the agent does not answer. So there is
  no race between the loss of the agent and the checks of the nodes: fit nodes stay in, unfit ones stay out, dead ones
  are found by the first step. A node that was never judged counts as fit then.
- **One client, one node.** Requests are spread by the client's address, so that a client reads what it wrote (a
  transaction's pending nonce) from the node that it wrote to, for as long as that node is fit.
- **A WebSocket never stays on an unfit node**: it is closed, and the client connects again, to a fit one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from muniment.identity.model import Endpoint
from muniment.topology import haproxy_privacy
from muniment.topology.haproxy_privacy import PrivacyDoor

BUFFER_BYTES = 128 * 1024
"""Holds a transaction of 60 KiB as hex, so every contract that Ethereum's own limit allows (EIP-3860: 48 KiB of init
code). Not more, because haproxy copies the whole buffer for every request that it may have to repeat: 1 MiB costs 2 ms
a request, 320 KiB 0.7 ms, this 0.2 ms."""

MAX_CONNECTIONS = 2000
"""Of clients; each takes two file descriptors."""

SHORTEST_START_MS = 1000
"""The gateway calls itself ready this long after its start at the earliest; every node was checked by then."""

_SYNCING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_syncing", "params": []}, separators=(",", ":"))

_GLOBAL = f"""\
global
    log stderr format raw local0 notice
    maxconn {MAX_CONNECTIONS}
    no strict-limits
    nbthread 1
    # Two gateways on one port would each get a part of the connections: the second one must fail instead.
    noreuseport
    tune.bufsize {BUFFER_BYTES}
    set-var proc.started date(0,ms)
"""

_DEFAULTS = """\
defaults
    mode http
    log global
    option httplog
    option dontlognull
    option dontlog-normal
    option log-separate-errors
    option http-buffer-request
    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    balance source
    hash-type consistent
    timeout connect 1s
    timeout client 65s
    timeout http-request 30s
    timeout http-keep-alive 65s
    timeout queue 5s
    # GoQuorum itself ends a request after 30 s (rpc.DefaultHTTPTimeouts).
    timeout server 35s
    timeout tunnel 1h
    timeout check 2s
"""


@dataclass(frozen=True)
class Upstream:
    """A node behind the gateway."""

    name: str
    rpc: Endpoint
    ws: Endpoint
    agent: Endpoint
    """The agent that judges it."""


def configuration(
    rpc: Endpoint,
    ws: Endpoint,
    metrics: Endpoint,
    nodes: Sequence[Upstream],
    privacy: PrivacyDoor | None = None,
) -> str:
    """The whole file: `rpc`, `ws` and `metrics` are bound; `nodes` and their agents are reached. `privacy` is the door
    of other members' privacy managers."""
    return "\n".join(
        (
            _GLOBAL,
            _DEFAULTS + _errors(),
            _rpc_frontend(rpc),
            _ws_frontend(ws),
            _metrics_frontend(metrics),
            _rpc_backend(metrics, nodes),
            _ws_backend(nodes),
            _judgement_backend(nodes),
            *([haproxy_privacy.section(privacy)] if privacy else []),
        )
    )


def _errors() -> str:
    sentence = "the gateway got no answer from a fit node: try again, and see `muniment status`"
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": sentence}}
    return "".join(
        f"    http-error status {status} content-type application/json string '{json.dumps(body)}'\n"
        for status in (502, 503, 504)
    )


def _rpc_frontend(listen: Endpoint) -> str:
    return f"""\
frontend rpc
    bind {_address(listen)}
    # Until its first check a node counts as up: right for requests, wrong for whoever waits until all is ready.
    acl checked date(0,ms),sub(proc.started) gt {SHORTEST_START_MS}
    acl fit nbsrv(rpc) gt 0
    http-request set-log-level silent if METH_GET {{ path /health }}
{_answer(200, ready=True, cause="", condition="METH_GET { path /health } fit checked")}
{_answer(503, ready=False, cause="no node is fit", condition="METH_GET { path /health }")}
    use_backend ws if {{ hdr(upgrade) -i websocket }}
    default_backend rpc
"""


def _ws_frontend(listen: Endpoint) -> str:
    return f"""\
frontend ws
    bind {_address(listen)}
    default_backend ws
"""


def _metrics_frontend(listen: Endpoint) -> str:
    return f"""\
frontend metrics
    bind {_address(listen)}
    http-request set-log-level silent
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 404 if !METH_GET || !{{ path_reg ^/nodes/[a-z0-9-]+/ready$ }}
    default_backend judgement
"""


def _rpc_backend(metrics: Endpoint, nodes: Sequence[Upstream]) -> str:
    head = f"""\
backend rpc
    option httpchk
    http-check connect
    http-check send meth POST uri / hdr content-type application/json body '{_SYNCING}'
    http-check expect rstring '"result": ?false'
    http-check connect addr {_own(metrics.host)} port {metrics.port}
    http-check send meth GET uri-lf /nodes/%[srv_name]/ready
    http-check expect status 200
    default-server check inter 500ms fastinter 250ms downinter 250ms fall 1 rise 2
"""
    return head + "".join(f"    server {node.name} {_address(node.rpc)}\n" for node in nodes)


def _ws_backend(nodes: Sequence[Upstream]) -> str:
    head = """\
backend ws
    default-server on-marked-down shutdown-sessions
"""
    return head + "".join(f"    server {node.name} {_address(node.ws)} track rpc/{node.name}\n" for node in nodes)


def _judgement_backend(nodes: Sequence[Upstream]) -> str:
    remembered = [(node.name, f"proc.{node.name.replace('-', '_')}") for node in nodes]
    recall = "".join(
        f"    http-request set-var(txn.last) var({variable})"
        f" if {{ path /nodes/{name}/ready }} {{ var({variable}) -m found }}\n"
        for name, variable in remembered
    )
    keep = "".join(
        f"    http-response set-var({variable}) status if {{ var(txn.path) -m str /nodes/{name}/ready }}\n"
        for name, variable in remembered
    )
    return f"""\
backend judgement
    retries 0
    retry-on none
    timeout connect 500ms
    timeout server 1s
    http-request set-var(txn.path) path
{recall}\
    # These see answers of the agent only, the ones below also haproxy's own refusals.
    http-response set-var(txn.answered) bool(true)
{keep}\
    acl answered var(txn.answered) -m bool
    http-after-response set-status 200 if !answered {{ var(txn.last) -m int 200 }}
    http-after-response set-status 200 if !answered !{{ var(txn.last) -m found }}
{_agents(nodes)}"""


def _agents(nodes: Sequence[Upstream]) -> str:
    """The servers of the judgement: the one agent of all nodes, or each node's own."""
    if len({node.agent for node in nodes}) == 1:
        return f"    server agent {_address(nodes[0].agent)}\n"
    asked = "".join(f"    use-server agent-{n.name} if {{ path /nodes/{n.name}/ready }}\n" for n in nodes)
    return asked + "".join(f"    server agent-{n.name} {_address(n.agent)}\n" for n in nodes)


def _answer(status: int, *, ready: bool, cause: str, condition: str) -> str:
    body = json.dumps({"ready": ready, "cause": cause})
    return f"    http-request return status {status} content-type application/json string '{body}' if {condition}"


def _address(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def _own(host: str) -> str:
    """Address at which the gateway reaches its own port."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
