"""The commands of docs/kubernetes.md, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.cluster import ROOT
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.lab.processes import in_network

TEXT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
COMMAND_SECONDS = 900
_BLOCKS = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)


def commands() -> list[str]:
    """Every line of a block without a language."""
    return [line.strip() for _, language, block in _BLOCKS.findall(TEXT) if not language for line in block.splitlines()]


def values() -> dict[str, Any]:
    """The example of the chart's values."""
    block = next(block for _, language, block in _BLOCKS.findall(TEXT) if language == "yaml" and "values.yaml" in block)
    found: dict[str, Any] = yaml.safe_load(block)
    return found


@dataclass
class Guide:
    """A reader with a shell, in a folder of his own."""

    lab: Lab
    folder: Path
    done: set[str] = field(default_factory=set)
    """Commands of the text that were run."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "charts").symlink_to(ROOT / "charts")

    def follow(self, start: str, **names: str) -> str:
        """Run the one command of the text that begins with `start`, with `names` (words in capitals) replaced; what it
        prints. Raises `AssertionError` when it fails."""
        (line,) = {line for line in commands() if line.startswith(start)}
        self.done.add(line)
        for name, value in names.items():
            assert name in line
            line = line.replace(name, value)
        return self.run(line)

    def run(self, line: str) -> str:
        """Run a command line; what it prints."""
        done = subprocess.run(
            self.command(line), env=self.environment, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
        assert done.returncode == 0, f"{line} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def command(self, line: str) -> list[str]:
        """The command line as a program, where the API is reached."""
        inside = ("env", f"--chdir={self.folder}", "bash", "-ec", line)
        return in_network(self.lab.settings.control_plane, *inside)

    @property
    def environment(self) -> dict[str, str]:
        """With kubectl, helm and muniment on the path."""
        places = (str(self.lab.settings.binaries), str(Path(sys.executable).parent), os.environ["PATH"])
        return {**os.environ, "PATH": ":".join(places), "KUBECONFIG": str(self.lab.settings.kubeconfig)}
