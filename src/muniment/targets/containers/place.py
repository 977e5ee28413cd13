"""The step that runs before a workload's container: puts its files where it looks for them.

`python -I -S place.py DESCRIPTION.json`: standard library only and no site packages, so that it takes a few hundredths
of a second. Templates hold no secret, so they may lie in a ConfigMap or a compose folder; secrets are files of their
own; only here, in memory and in the workload's own volume, both meet.

What it finds in the description (written by `targets.containers.views`):

- `files`: source (a template), target, mode. Markers `@secret:PATH@` in a template are replaced by the stripped content
  of the file `secrets`/KEY, where KEY is PATH with dots for slashes.
- `directories`: made, for their owner alone.
- `owners`: for each volume the file that says whose it is, and what it must say. A new volume gets it.
- `sole`: null, or the name that this host must have: of several pods with one identity only that one starts.
- `fingerprints`: SHA-256 of secrets that must not be those of somebody else, by PATH.
- `hosts`: names that must resolve before anything starts: a node looks its peers' names up once, at its start.
- `needs`: host, port and path of URLs that must answer with status 200.
- `user`: null, or the user and group that everything is given to; then the step must run as root.
- `seconds`: how long to wait for hosts and needs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAUSE_SECONDS = 0.1
"""Between two looks at what is waited for."""

ASK_SECONDS = 2.0

_MARKER = re.compile(rb"@secret:([^@\n]+)@")


class RefusedError(Exception):
    """Nothing may start here; the text says why, and what to do."""


def main(description: Path) -> None:
    """Do what `description` says. Raises `RefusedError`, `OSError`."""
    wanted = json.loads(description.read_bytes())
    secrets = Path(wanted["secrets"])
    check_sole(wanted["sole"], socket.gethostname())
    for path, digest in wanted["fingerprints"].items():
        check_fingerprint(path, read_secret(secrets, path), digest)
    give = functools.partial(hand_over, wanted["user"])
    for owner in wanted["owners"]:
        check_owner(Path(owner["file"]), owner["name"])
        give(Path(owner["file"]).parent)
    for directory in wanted["directories"]:
        make_directory(Path(directory), give)
        # Docker makes a container's working directory, as root, where compose v2 makes all containers before any runs.
        give(Path(directory))
    for file in wanted["files"]:
        target = Path(file["target"])
        make_directory(target.parent, give)
        place(target, filled(Path(file["source"]).read_bytes(), secrets), file["mode"])
        give(target)
    end = time.monotonic() + wanted["seconds"]
    for host in wanted["hosts"]:
        wait_for(f"the name {host}", functools.partial(unresolved, host), end)
    for need in wanted["needs"]:
        wait_for(need["host"], functools.partial(refusal, need), end)


def check_sole(wanted: str | None, found: str) -> None:
    """Raises `RefusedError` when another pod than the one that may have the identity starts."""
    if wanted is not None and found != wanted:
        raise RefusedError(
            f"this is {found}, and only {wanted} may have this identity: two nodes with one identity disturb one"
            " another, so neither would synchronise; scale back to one replica, and raise the member's count of nodes"
            " in the specification instead"
        )


def check_fingerprint(path: str, secret: bytes, digest: str) -> None:
    """Raises `RefusedError` when the secret is not the one that belongs here."""
    if hashlib.sha256(secret).hexdigest() != digest:
        raise RefusedError(
            f"the secret {path} is not the one of this identity: it was exchanged for another one's; restore it from"
            " the identity store (`muniment render kubernetes --secrets`)"
        )


def check_owner(file: Path, name: str) -> None:
    """Mark a new volume as `name`'s; raises `RefusedError` when it is somebody else's."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(f"{name}\n")
    except FileExistsError:
        owner = file.read_text(encoding="utf-8").strip()
        if owner != name:
            raise RefusedError(
                f"the volume at {file.parent} belongs to {owner or 'nobody known'}, not to {name}: every workload needs"
                " a volume of its own; give this one another claim"
            ) from None


def read_secret(secrets: Path, path: str) -> bytes:
    """The stripped content of a secret. Raises `RefusedError` when there is none."""
    try:
        return (secrets / path.replace("/", ".")).read_bytes().strip()
    except OSError as error:
        raise RefusedError(f"the secret {path} is not there ({error.strerror}): apply the secrets first") from error


def filled(template: bytes, secrets: Path) -> bytes:
    """The template with its secrets."""
    return _MARKER.sub(lambda match: read_secret(secrets, match[1].decode()), template)


def make_directory(path: Path, give: Callable[[Path], None]) -> None:
    """Make a directory and those above it that are not there."""
    if not path.is_dir():
        make_directory(path.parent, give)
        path.mkdir(mode=0o700)
        give(path)


def hand_over(user: int | None, path: Path) -> None:
    """Give a file or directory to `user`, if there is one."""
    if user is not None:
        os.chown(path, user, user)


def place(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place as a whole, never readable by more than `mode` says."""
    beside = path.with_name(f".{path.name}.placed")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
    beside.replace(path)


def wait_for(what: str, cause: Callable[[], str], end: float) -> None:
    """Wait until `cause` is empty; raises `RefusedError` with the last one at the time `end`."""
    while why := cause():
        if time.monotonic() > end:
            raise RefusedError(f"{what} was waited for in vain: {why}")
        time.sleep(PAUSE_SECONDS)


def unresolved(host: str) -> str:
    """Why a name does not resolve; empty when it does."""
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        return str(error)
    return ""


def refusal(need: dict[str, Any]) -> str:
    """Why a need is not ready; empty when it is."""
    host, port = need["host"], need["port"]
    try:
        with socket.create_connection((host, port), ASK_SECONDS) as connection:
            connection.sendall(f"GET {need['path']} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                status = answer.readline(256).split()[1:2]
    except OSError as error:
        return str(error)
    return "" if status == [b"200"] else f"it answers with status {b''.join(status).decode('ascii', 'replace')}"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (RefusedError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"muniment: {error}\n")
        sys.exit(1)
