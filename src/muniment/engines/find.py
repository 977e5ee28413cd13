"""Where an engine is: on PATH, in the cache, or nowhere yet."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from muniment.engines.cache import built_path
from muniment.engines.catalogue import Engine, Version

PROBE_SECONDS = 15.0
"""An executable that does not tell its version in this time is not used."""

SYSTEM_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where distributions put servers such as haproxy; ordinary users do not have these on PATH."""


class Origin(StrEnum):
    """Where an engine comes from."""

    PATH = "path"
    CACHE = "cache"


@dataclass(frozen=True)
class Found:
    """An engine that can be used now."""

    path: Path
    version: str
    origin: Origin


def locate(engine: Engine) -> Found | None:
    """The engine on PATH if its version is accepted, else the built one in the cache, else None."""
    for path in candidates(engine.name):
        version = version_of(engine, path)
        if version is not None and engine.accepts(version):
            return Found(path, _text(version), Origin.PATH)
    if engine.source is None:
        return None
    built = built_path(engine, engine.source)
    return Found(built, _text(engine.version), Origin.CACHE) if os.access(built, os.X_OK) else None


def candidates(name: str) -> list[Path]:
    """Every executable of this name on PATH and in the system's places for servers, in order."""
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *SYSTEM_PLACES]
    found = [shutil.which(name, path=place) for place in dict.fromkeys(places) if place]
    return [Path(path).absolute() for path in found if path]


def version_of(engine: Engine, path: Path) -> Version | None:
    """The version that the executable tells; None when it is another program, fails or does not answer in time."""
    try:
        done = subprocess.run(
            [path, *engine.ask],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = engine.says.search(done.stdout) if done.returncode == 0 else None
    return tuple(map(int, match.group(1).split("."))) if match else None


def _text(version: Version) -> str:
    return ".".join(map(str, version))
