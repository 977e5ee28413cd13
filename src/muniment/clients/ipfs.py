"""Clients of both halves of an IPFS peer, under one name."""

from __future__ import annotations

from muniment.clients.cluster import PINNED, ClusterClient, ClusterId, Metric
from muniment.clients.kubo import ImportStat, KuboClient, KuboId, RepoStat

__all__ = ["PINNED", "ClusterClient", "ClusterId", "ImportStat", "KuboClient", "KuboId", "Metric", "RepoStat"]
