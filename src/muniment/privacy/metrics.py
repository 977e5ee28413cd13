"""Prometheus metrics of a manager."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What one process counts. Label values are bounded: interfaces, routes and statuses."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ["interface", "route"]
        self._requests = Counter(
            "muniment_privacy_requests", "Requests by status.", [*labels, "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "muniment_privacy_seconds", "Durations of requests.", labels, buckets=_BUCKETS, registry=self.registry
        )
        self._held = Counter(
            "muniment_privacy_held", "Requests that waited for the database.", ["interface"], registry=self.registry
        )
        self._pushes = Counter(
            "muniment_privacy_pushes", "Requests to other members by result.", ["result"], registry=self.registry
        )
        self._push_seconds = Histogram(
            "muniment_privacy_push_seconds", "Durations of those.", buckets=_BUCKETS, registry=self.registry
        )
        self.ready = Gauge("muniment_privacy_ready", "1 when the manager can serve its node.", registry=self.registry)
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, interface: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (interface, route, status)
        found = self._known.get(key)
        if found is None:
            found = self._requests.labels(interface, route, str(status)), self._seconds.labels(interface, route)
            self._known[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def held(self, interface: str) -> None:
        """Count one request that had to wait for the database."""
        self._held.labels(interface).inc()

    def pushed(self, result: str, seconds: float) -> None:
        """Count one push: `taken`, `away` or `refused`."""
        self._pushes.labels(result).inc()
        self._push_seconds.observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
