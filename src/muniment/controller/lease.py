"""One operator at a time: a Lease (coordination.k8s.io) that is held while it is renewed.

As other controllers do it (client-go, tools/leaderelection): the holder renews it, and counts as gone when it did not
for `DURATION_SECONDS`, measured by the clock of who waits since the last change that it saw, never by comparing clocks
of two machines. A holder that cannot renew in time stops by itself before others may begin: the API that it asks must
give up within `REQUEST_SECONDS`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError
from muniment.targets.kubernetes.client import Api, Kind

LEASE = Kind("coordination.k8s.io/v1", "Lease")
DURATION_SECONDS = 15.0
RENEW_SECONDS = 3.0
REQUEST_SECONDS = 3.0
GIVE_UP_SECONDS = 10.0
"""A holder that could not renew for so long stops: well before others may begin."""

log = logging.getLogger(__name__)
Document = dict[str, Any]


class Leadership:
    """The lease `name` in the namespace of `api`, wanted by `identity`."""

    def __init__(self, api: Api, name: str, identity: str) -> None:
        self._api = api
        self._name = name
        self._identity = identity
        self._seen = ("", 0.0)
        """What the lease's last change was, and when we saw it."""
        self._renewed = 0.0
        self.held = asyncio.Event()
        """Set while we hold the lease."""

    async def keep(self) -> None:
        """Get the lease, and renew it until cancelled. Raises `PermanentError` when it is lost: whoever relies on it
        must stop at once."""
        while True:
            await self._once()
            await asyncio.sleep(RENEW_SECONDS)

    async def give_back(self) -> None:
        """Let the next one begin at once."""
        if self.held.is_set():
            self.held.clear()
            await asyncio.to_thread(self._release)

    async def _once(self) -> None:
        begun = time.monotonic()
        try:
            mine = await asyncio.to_thread(self._try)
        except TemporaryError as error:
            log.warning("the lease could not be renewed", extra={"cause": str(error)})
            mine = False
        if mine:
            self._renewed = begun
            if not self.held.is_set():
                log.info("this operator leads", extra={"identity": self._identity})
                self.held.set()
        elif self.held.is_set() and time.monotonic() - self._renewed > GIVE_UP_SECONDS:
            self.held.clear()
            raise PermanentError("the operator lost its lease: another one leads, or the cluster does not answer")

    def _try(self) -> bool:
        """One round; whether we hold it."""
        found = self._api.get(LEASE, self._name)
        if found is None:
            self._api.create(self._written({"metadata": {"name": self._name, "namespace": self._api.namespace}}))
            return True
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._has_ended(f"{holder} {spec.get('renewTime')}", spec):
            return False
        self._api.replace(self._written(found))
        return True

    def _has_ended(self, change: str, spec: Document) -> bool:
        now = time.monotonic()
        if change != self._seen[0]:
            self._seen = (change, now)
        return now - self._seen[1] > float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)

    def _written(self, found: Document) -> Document:
        spec = dict(found.get("spec") or {})
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        spec.update(holderIdentity=self._identity, renewTime=now, leaseDurationSeconds=int(DURATION_SECONDS))
        return {**found, "apiVersion": LEASE.version, "kind": LEASE.name, "spec": spec}

    def _release(self) -> None:
        try:
            found = self._api.get(LEASE, self._name)
            if found and (found.get("spec") or {}).get("holderIdentity") == self._identity:
                self._api.replace({**found, "spec": {**found["spec"], "holderIdentity": ""}})
        except MunimentError as error:
            log.warning("the lease could not be given back", extra={"cause": str(error)})
