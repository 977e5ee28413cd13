"""The notary's metrics for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from muniment.notary.values import Batch, Counts, State

_LATENCY_BUCKETS = (0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 10, 30, 60, 300)
_SIZE_BUCKETS = (1, 10, 100, 500, 1000, 2000, 5000, 10_000, 100_000)


class Metrics:
    """All counters of one notary, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        own = self._registry
        self._files = Gauge("muniment_notary_files", "Files by state.", ["state"], registry=own)
        self._batches = Gauge("muniment_notary_batches", "Batches by state.", ["state"], registry=own)
        self._stuck = Gauge("muniment_notary_stuck_batches", "Batches that failed and are tried again.", registry=own)
        self._accepted = Counter("muniment_notary_accepted_files", "Files accepted.", registry=own)
        self._accepted_bytes = Counter("muniment_notary_accepted_bytes", "Bytes of content accepted.", registry=own)
        self._refused = Counter("muniment_notary_refused_requests", "Requests refused.", ["status"], registry=own)
        self._anchors = Counter("muniment_notary_anchors", "Batches anchored.", registry=own)
        self._failures = Gauge("muniment_notary_step_failures", "Failed steps of batches.", ["state"], registry=own)
        self._size = Histogram(
            "muniment_notary_batch_files", "Files in an anchored batch.", buckets=_SIZE_BUCKETS, registry=own
        )
        self._latency = Histogram(
            "muniment_notary_batch_seconds",
            "Seconds from the closing of a batch to a state.",
            ["state"],
            buckets=_LATENCY_BUCKETS,
            registry=own,
        )

    def accepted(self, files: int, content_bytes: int) -> None:
        """Files were accepted."""
        self._accepted.inc(files)
        self._accepted_bytes.inc(content_bytes)

    def refused(self, status: int) -> None:
        """A request was refused with an HTTP status."""
        self._refused.labels(str(status)).inc()

    def moved(self, batch: Batch, state: State, now_ms: int) -> None:
        """A batch reached a state."""
        self._latency.labels(state.word).observe(max(0, now_ms - batch.fixed.closed_at) / 1000)
        if state is State.ANCHORED:
            self._anchors.inc()
            self._size.observe(batch.fixed.size)

    def text(self, counts: Counts, failures: dict[State, int]) -> bytes:
        """Everything in Prometheus' text format, with what the database counts now."""
        for state, number in counts.files.items():
            self._files.labels(state.word).set(number)
        for state, number in counts.batches.items():
            self._batches.labels(state.word).set(number)
        for state, number in failures.items():
            self._failures.labels(state.word).set(number)
        self._stuck.set(counts.stuck)
        return generate_latest(self._registry)
