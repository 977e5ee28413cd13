"""Builds the images with mmdebstrap and buildah, each once for everything that goes into it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from muniment import __version__
from muniment.engines.build import ensure_engines
from muniment.engines.cache import cache_root
from muniment.kernel.errors import PermanentError
from muniment.kernel.events import ignore

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
SUITE: Final = "bookworm"
DIGEST_LENGTH: Final = 16
KEPT: Final = 3
"""Archives of each image: a test run that goes on beside another version needs its own."""
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
"""Of this machine, for downloads while an image is built; it is mounted, and not in the image."""

_ENGINES: Final = {"quorum": "geth", "kubo": "ipfs", "cluster": "ipfs-cluster-service"}
_PACKAGED: Final = ("haproxy", "mariadb")
NAMES: Final = ("muniment", *_ENGINES, *_PACKAGED)

_BASES: Final[Mapping[str, Sequence[str]]] = {
    "debian": ("ca-certificates",),
    "python": ("ca-certificates", "python3"),
    "build": ("ca-certificates", "python3", "python3-venv"),
}
_SLIM: Final = (
    *("--variant=minbase", "--format=tar", '--aptopt=Acquire::Languages "none"'),
    *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")),
    '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*',
)


def tag(name: str) -> str:
    """The full name of an image: localhost/muniment-kubo:VERSION."""
    return f"localhost/{'muniment' if name == 'muniment' else f'muniment-{name}'}:{__version__}"


class Builder:
    """Builds into the cache, beside the engines."""

    def __init__(self) -> None:
        self._cache = cache_root() / "images"
        self._cache.mkdir(parents=True, exist_ok=True)

    def build(self, names: Iterable[str] = NAMES) -> dict[str, Path]:
        """The archives of these images, by name. Raises `PermanentError` when one cannot be built."""
        with FileLock(self._cache / ".lock"):
            return {name: self._image(name) for name in names}

    def _image(self, name: str) -> Path:
        with self._context(name) as context:
            dockerfile = HERE / ("muniment" if name == "muniment" else "engines") / "Dockerfile"
            bases = {"BASE": "build", "RUNTIME": "python"} if name == "muniment" else {"BASE": "debian"}
            given = [f"{argument}={self._base(base)}" for argument, base in bases.items()]
            archive = self._cache / f"{name}-{_digest(name, *given, dockerfile, *_files(context))}.tar"
            if archive.exists():
                return archive
            _say(f"building {tag(name)}")
            target = () if name == "muniment" else ("--target", name)
            mounts = ("-v", f"{CERTIFICATES}:{CERTIFICATES}:ro") if CERTIFICATES.exists() else ()
            self._buildah(
                *("bud", "--quiet", "--force-rm", "--isolation", "chroot", "--network", "host", "--layers"),
                *("--pull-never", *mounts, *(f"--build-arg={one}" for one in given), *target),
                *("-f", str(dockerfile), "-t", tag(name), str(context)),
            )
            self._push(tag(name), archive)
            self._forget(name)
            return archive

    @contextmanager
    def _context(self, name: str) -> Iterator[Path]:
        """A directory with what the Dockerfile copies."""
        with tempfile.TemporaryDirectory(prefix="muniment-image-") as folder:
            context = Path(folder)
            if name == "muniment":
                shutil.copy(ROOT / "requirements" / "runtime.txt", context / "requirements.txt")
                shutil.copy(ROOT / "src/muniment/targets/containers/place.py", context / "place.py")
                _wheel(context)
            elif program := _ENGINES.get(name):
                shutil.copy(ensure_engines(ignore, [program])[program], context / program)
            yield context

    def _base(self, name: str) -> str:
        """The name of a base image, made when it is not there."""
        packages = _BASES[name]
        image = f"localhost/muniment-base-{name}:{_digest(SUITE, *packages, *_SLIM)}"
        if not self._buildah("images", "--quiet", "--filter", f"reference={image}"):
            _say(f"making the base image {name}")
            with tempfile.TemporaryDirectory(prefix="muniment-base-") as folder:
                system = Path(folder) / "system.tar"
                _run("mmdebstrap", "--quiet", *_SLIM, f"--include={','.join(packages)}", SUITE, str(system))
                container = self._buildah("from", "scratch")
                try:
                    self._buildah("add", "--quiet", container, str(system), "/")
                    self._buildah("commit", "--quiet", container, image)
                finally:
                    self._buildah("rm", container)
        return image

    def _push(self, image: str, archive: Path) -> None:
        beside = archive.with_suffix(".part")
        beside.unlink(missing_ok=True)
        self._buildah("push", "--quiet", "--disable-compression", image, f"docker-archive:{beside}:{image}")
        beside.replace(archive)

    def _forget(self, name: str) -> None:
        """Remove archives of former contents: each of muniment's own takes half a gigabyte."""
        found = self._cache.glob(f"{name}-{'[0-9a-f]' * DIGEST_LENGTH}.tar")
        for archive in sorted(found, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            archive.unlink()

    def _buildah(self, *arguments: str) -> str:
        store = ("--root", str(self._cache / "store"), "--runroot", str(self._cache / "run"))
        return _run("buildah", *store, "--storage-driver", "overlay", *arguments)


def _wheel(context: Path) -> None:
    _run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--no-build-isolation", "--wheel-dir", str(context), str(ROOT)),
    )


def _files(context: Path) -> list[Path]:
    return sorted(path for path in context.iterdir() if path.is_file())


def _digest(*parts: str | Path) -> str:
    made = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        made.update(hashlib.sha256(content).digest())
    return made.hexdigest()[:DIGEST_LENGTH]


def _run(*command: str) -> str:
    # Same packages, same files, same digest.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    except FileNotFoundError as error:
        raise PermanentError(f"{command[0]} is not there: install it (scripts/setup compose)") from error
    except subprocess.CalledProcessError as error:
        raise PermanentError(f"{command[0]} failed: {error.stderr.strip()[-2000:]}") from error
    return done.stdout.strip()


def _say(text: str) -> None:
    sys.stderr.write(f"images: {text}\n")
