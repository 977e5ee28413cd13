"""`python -m benchmarks [NAME…]`: measure on this machine, and print the table for RESULTS.md.

Every figure stands beside a baseline of the same run where there is one; nothing here is a test.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import failover, footprint, kubernetes, notarising, privacy, privacy_managers, start
from tests.support.consortium import Consortium, demo_specification
from tests.support.ports import port_block

SHARED = {
    "memory": footprint.measure,
    "notarising": notarising.measure,
    "failover": failover.measure,
    "privacy": privacy.measure,
}


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    wanted = sys.argv[1:] or ["managers", "start", *SHARED]
    rows: list[tuple[str, str, str]] = privacy_managers.measure() if "managers" in wanted else []
    # Only when it is asked for: it needs root, and packages that the others do not.
    rows += kubernetes.measure() if "kubernetes" in wanted else []
    with tempfile.TemporaryDirectory(prefix="muniment-bench-") as folder, port_block() as base:
        consortium = Consortium(Path(folder), demo_specification(base))
        try:
            rows += start.measure(consortium) if "start" in wanted else []
            if any(name in wanted for name in SHARED):
                consortium.up()
            for name, measure in SHARED.items():
                if name in wanted:
                    rows += measure(consortium)
        finally:
            consortium.remove()
    print("| what | measured | goal |\n|---|---|---|")
    for what, measured, goal in rows:
        print(f"| {what} | {measured} | {goal} |")


if __name__ == "__main__":
    main()
