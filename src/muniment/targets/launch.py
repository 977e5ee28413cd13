"""The launcher: what the supervisor starts for every workload. It makes everything ready, then becomes the program.

`python -I -S launch.py LAUNCH.json`: standard library only and no site packages, so that it takes a few hundredths of a
second. It makes the directories, writes the rendered files anew, prepares the data directory when it is new or was
lost, waits until what the program needs is ready, and executes the program in its own place: the supervisor sees one
process.

What it finds in the description (written by `targets.rendering`): `program`, `arguments`, `environment`, `data`,
`directories`, `files` (source, target, mode), `prepare` (arguments, creates) or null, `needs` (host, port and path of
URLs that must answer with status 200), `log`, `starts` (a file that gets one `+` per start).
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PREPARING = ".muniment-preparing"
"""Stands in the data directory while `prepare` runs, and holds the names that were there before it."""

STARTED = b"+"
SHORTEST_RUN = 1.0
"""Seconds. A program that ends sooner than this is started once in this time, not at once."""

NEED_SECONDS = 60.0
"""So long the launcher waits for what the program needs; then it ends, and is started again."""

ASK_SECONDS = 2.0
PAUSE_SECONDS = 0.05
"""Between two questions whether a need is ready."""

OPEN_FILES = 65536
"""Wanted limit of open files; no more than the hard limit."""


def main(description: Path) -> None:
    """Launch what `description` says; does not return unless it fails."""
    launch = json.loads(description.read_bytes())
    redirect(Path(launch["log"]))
    note_start(Path(launch["starts"]))
    for directory in (launch["data"], *launch["directories"]):
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    data = Path(launch["data"])
    prepare = launch["prepare"]
    if prepare is not None:
        clear_unfinished(data, prepare["creates"])
    for file in launch["files"]:
        place(Path(file["target"]), Path(file["source"]).read_bytes(), file["mode"])
    os.chdir(data)
    if prepare is not None and not (data / prepare["creates"]).exists():
        run_prepare(launch, data)
    for need in launch.get("needs", ()):
        wait_for(need)
    raise_limit()
    os.execve(launch["program"][0], [*launch["program"], *launch["arguments"]], launch["environment"])  # noqa: S606


def redirect(log: Path) -> None:
    """Send standard output and standard error to the end of `log`, from here on without the supervisor's help: a pipe
    to it would end with it, and with the pipe every program that writes to it (SIGPIPE)."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def note_start(starts: Path) -> None:
    """Count this start in the file; when the one before was an instant ago, wait until a second has passed since."""
    try:
        pause = SHORTEST_RUN - (time.time() - starts.stat().st_mtime)
        if starts.read_bytes().endswith(STARTED) and 0 < pause <= SHORTEST_RUN:
            # A limit of the rate, not a wait for something: a program that always fails must not take a whole core.
            time.sleep(pause)
    except FileNotFoundError:
        starts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with starts.open("ab") as stream:
        stream.write(STARTED)


def place(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place as a whole, never readable by more than `mode` says; nothing happens when it is there."""
    try:
        if path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
            return
    except OSError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
    beside.replace(path)


def clear_unfinished(data: Path, creates: str) -> None:
    """Remove what a `prepare` left that did not come to its end; what was there before it stays."""
    marker = data / PREPARING
    if not marker.exists():
        return
    before = set(marker.read_text("utf-8").splitlines())
    for entry in data.iterdir():
        if entry.name not in before and entry.name != PREPARING:
            remove(entry)
    remove(data / creates)
    marker.unlink()


def remove(path: Path) -> None:
    """Remove a file or a whole directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run_prepare(launch: dict[str, Any], data: Path) -> None:
    """Run the program's `prepare` in the data directory; raises `CalledProcessError` when it fails."""
    marker = data / PREPARING
    names = [entry.name for entry in data.iterdir()]
    place(marker, "".join(f"{name}\n" for name in names).encode(), 0o600)
    subprocess.run(
        [*launch["program"], *launch["prepare"]["arguments"]],
        cwd=data,
        env=launch["environment"],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    created = data / launch["prepare"]["creates"]
    if not created.exists():
        raise FileNotFoundError(2, "prepare ended well but did not create it", str(created))
    marker.unlink()


def wait_for(need: dict[str, Any]) -> None:
    """Wait until the URL of a need answers with status 200; raises `TimeoutError` with the cause when it does not."""
    end = time.monotonic() + NEED_SECONDS
    while cause := refusal(need):
        if time.monotonic() > end:
            raise TimeoutError(f"http://{need['host']}:{need['port']}{need['path']} is not ready: {cause}")
        time.sleep(PAUSE_SECONDS)


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


def raise_limit() -> None:
    """Allow the program as many open files as the machine lets us, up to `OPEN_FILES`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError) as error:
        sys.stderr.write(f"muniment: this workload cannot be launched: {error}\n")
        sys.exit(1)
