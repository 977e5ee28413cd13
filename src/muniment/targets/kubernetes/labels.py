"""How objects of muniment are recognised. Pure.

Every object of a consortium carries two labels: who manages it, and the consortium. Containers are called like their
workloads, so a pod tells by itself what it runs.
"""

from __future__ import annotations

from typing import Final

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "muniment"
CONSORTIUM: Final = "muniment.io/consortium"
REPLICAS: Final = "muniment.io/replicas"
"""Annotation of a controller: how many pods it has while it is not stopped."""


def labels(consortium: str) -> dict[str, str]:
    """Labels of every object that we make for this consortium."""
    return {MANAGED_BY: MANAGER, CONSORTIUM: consortium}


def selection(consortium: str) -> dict[str, str]:
    """Labels by which Secrets of this consortium are found, also those that somebody else made."""
    return {CONSORTIUM: consortium}
