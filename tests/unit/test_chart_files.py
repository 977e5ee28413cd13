"""What of the chart is made from the specification is up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from muniment import __version__

ROOT = Path(__file__).resolve().parents[2]


def test_definition_and_schema_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "chart"), "--check"]
    checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_the_chart_installs_this_version() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "muniment" / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == __version__
