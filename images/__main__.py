"""`python -m images [NAME…]`: build the images as archives, without a container registry and without a daemon.

The base images come from Debian's packages (mmdebstrap), the others from the Dockerfiles beside this file (buildah). An
archive lies in the cache under the hash of everything that went into it, and is made only once. Prints the paths of the
archives, for `docker load` or `ctr images import`. Needs root.
"""

from __future__ import annotations

import sys

from images.build import NAMES, Builder
from muniment.kernel.errors import MunimentError


def main() -> None:
    """Build what the command line names, or all."""
    wanted = sys.argv[1:] or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        sys.exit(f"images: {unknown[0]} is none: there are {', '.join(NAMES)}")
    try:
        for path in Builder().build(wanted).values():
            sys.stdout.write(f"{path}\n")
    except MunimentError as error:
        sys.exit(f"images: {error}")


if __name__ == "__main__":
    main()
