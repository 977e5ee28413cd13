"""Documents as YAML: texts of several lines as such, everything written out where it is used."""

from __future__ import annotations

from typing import Any

import yaml


def dump(document: Any) -> str:
    """One document, without the line that begins it."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Refers to nothing: references are hard to read, and some tools refuse them."""

    def ignore_aliases(self, data: object) -> bool:
        """For all data."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
