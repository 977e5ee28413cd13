"""The part of the gateway's haproxy.cfg that stands in front of the privacy managers of one member. Pure.

Only managers of other members come here: a node asks its own manager, without anything in between.

- **Nothing of its own.** Paths go through as they came: a hash in base64 has `%2F` in it, and a path that is not what
  its sender wrote would name another payload. The gateway's own errors are 502, 503 and 504, never a 404.
- **A push that one manager does not take is sent to another one**: it can be repeated without a second effect. So are
  requests to a manager that is not ready (503). Limit: what is larger than the gateway's buffer is not kept whole;
  it is sent to another manager when the first could not be connected, but not when that one dies over it. Then the
  sender, which does keep it, sends it again.
- Not repeated is a plain 500: it is a manager's answer to what was asked, and another one would say the same.
- **With TLS the gateway sees nothing**: it passes the bytes of whole connections on, and the managers show the
  certificates. A connection stays at one manager; when that one ends, the sender connects again.
- Whether a manager may get requests is asked at its status port, which is plain HTTP without any secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muniment.identity.model import Endpoint

MAX_CONNECTIONS = 500
"""Of managers of other members; together with clients they stay below what the gateway takes."""


@dataclass(frozen=True)
class Manager:
    """A privacy manager behind the gateway."""

    name: str
    p2p: Endpoint
    status: Endpoint


@dataclass(frozen=True)
class PrivacyDoor:
    """Where other members' managers come in, and to whom they are sent."""

    listen: Endpoint
    managers: Sequence[Manager]
    tls: bool


def section(door: PrivacyDoor) -> str:
    """Frontend and backend."""
    return _frontend(door) + "\n" + _backend(door)


def _frontend(door: PrivacyDoor) -> str:
    mode = "    mode tcp\n    option tcplog\n" if door.tls else ""
    return f"""\
frontend privacy
{mode}    bind {_address(door.listen)}
    maxconn {MAX_CONNECTIONS}
    default_backend privacy
"""


def _backend(door: PrivacyDoor) -> str:
    servers = "".join(
        f"    server {one.name} {_address(one.p2p)} addr {one.status.host} port {one.status.port}\n"
        for one in door.managers
    )
    return f"""\
backend privacy
{_connections() if door.tls else _requests()}\
    balance leastconn
    timeout connect 500ms
    # A recovering member waits for one answer until a whole batch of payloads was sent to it.
    timeout server 300s
    option httpchk
    http-check send meth GET uri /ready/members
    http-check expect status 200
    default-server check inter 500ms fastinter 250ms downinter 250ms fall 1 rise 1
{servers}"""


def _requests() -> str:
    return """\
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response junk-response 502 503 504
    http-error status 502 content-type text/plain string "the privacy manager did not answer"
    http-error status 503 content-type text/plain string "no privacy manager is ready"
    http-error status 504 content-type text/plain string "the privacy manager did not answer in its time"
"""


def _connections() -> str:
    return """\
    mode tcp
    retries 3
    option redispatch 1
    timeout client-fin 5s
    default-server on-marked-down shutdown-sessions
"""


def _address(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"
