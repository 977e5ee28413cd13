"""The load balancer of a provider, as far as a cluster sees it: it gives Services their outside addresses.

kube-proxy leads what comes to such an address to the Service, from wherever it comes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

from tests.kubernetes.cluster import Cluster


def addresses_of(members: Mapping[str, tuple[int, int]], network: str) -> dict[str, str]:
    """An address for each Service that others reach, by the numbers of nodes and peers of the members."""
    services = [
        service
        for member, (nodes, peers) in members.items()
        for service in (
            *(f"{member}-{number}" for number in range(1, nodes + 1)),
            *(f"{member}-peer-{number}" for number in range(1, peers + 1)),
            f"{member}-gateway",
        )
    ]
    return {service: f"{network}.{number}" for number, service in enumerate(services, start=1)}


def give(cluster: Cluster, addresses: Mapping[str, str]) -> None:
    """Give the Services `NAME-outside` their addresses, as soon as they are there."""
    for service, address in addresses.items():
        status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
        patch = ("patch", "service", f"{service}-outside", "--subresource=status", "--type=merge", "-p", status)
        cluster.wait(f"{service}-outside", functools.partial(_run, cluster, *patch))


def _run(cluster: Cluster, *arguments: str) -> None:
    cluster.kubectl(*arguments)
