"""Where the members of a started consortium are reached: STATE/endpoints.json, written by `muniment up`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from muniment.kernel.errors import InputError

ENDPOINTS: Final = "endpoints.json"


def urls_of(state: Path, kind: str, instead: str) -> dict[str, str]:
    """The URL of this `kind` (`rpc`, `ws`, `notary`) of each member that has one, by the member's name.

    `instead` says in the messages what else the user can do. Raises `InputError` when nothing was started in `state`,
    when the file is damaged, or when no member has such a URL.
    """
    path = state / ENDPOINTS
    try:
        members = json.loads(path.read_text(encoding="utf-8"))["members"]
        urls = {name: str(places[kind]) for name, places in members.items() if places.get(kind)}
    except FileNotFoundError as error:
        raise InputError(f"{state} holds no consortium that was started: {instead}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read ({error!r}): {instead}, or write it anew with `muniment up`"
        ) from error
    if not urls:
        raise InputError(f"no member in {path} has a {kind} address: {instead}")
    return urls
