"""Memory of the whole demo: proportional set size of every process, shared pages counted once."""

from __future__ import annotations

from tests.support.consortium import Consortium


def measure(consortium: Consortium) -> list[tuple[str, str, str]]:
    """PSS in MiB of the ready demo."""
    consortium.wait_ready()
    sizes = {name: process.memory_full_info().pss / 2**20 for name, process in consortium.processes().items()}
    largest = ", ".join(f"{name} {size:.0f}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:3])
    return [("memory of the whole demo (PSS)", f"{sum(sizes.values()):.0f} MiB ({largest})", "< 4096 MiB")]
