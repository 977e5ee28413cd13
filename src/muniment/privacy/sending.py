"""Sending: seal, hand over to every recipient, and keep what all of them have.

Nothing is kept for a transaction that some recipient does not have: it could never be executed there. What a recipient
keeps of such a one is harmless, since its hash never comes to the chain, and so is what a sender keeps that was killed
between the two. No transaction of the database is open while something is pushed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from muniment.kernel.errors import MunimentError
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import for_recipient
from muniment.privacy.errors import ConflictError, MalformedError, RuleError, UnknownHashError, UnknownKeyError
from muniment.privacy.ports import Peers, Store
from muniment.privacy.rules import check_sending
from muniment.privacy.values import Payload, Peer, PrivacyFlag, SendRequest, Sent, SignedRequest

NEEDS_ENHANCEMENTS = "v2"
NEEDS_MANDATORY = "4.0"
"""What a peer must have announced (Tessera shared/…/version/EnhancedPrivacyVersion.java)."""


class Sender:
    """The use cases of whoever sends."""

    def __init__(self, enclave: Enclave, store: Store, peers: Peers) -> None:
        self._enclave = enclave
        self._store = store
        self._peers = peers

    async def send(self, request: SendRequest) -> Sent:
        """Seal a payload, push it to all recipients, and keep it.

        Raises `UnknownKeyError`, `RuleError`, `MalformedError`; `PeerAwayError` or `PeerRefusedError` when a recipient
        did not take it, and then nothing is kept.
        """
        sender = self._sender(request.sender)
        recipients = self._enclave.recipients(request.recipients, sender)
        affected = await self._checked(request, recipients)
        remote = await self._resolve(recipients, request.flag)
        payload = self._enclave.seal(
            request.payload,
            sender,
            recipients,
            flag=request.flag,
            affected=affected,
            exec_hash=request.exec_hash,
            mandatory=request.mandatory,
            group_id=request.group_id,
        )
        await self._deliver(payload, remote)
        return self._sent(payload.hash, sender, recipients)

    async def store_raw(self, plain: bytes, sender: bytes | None) -> bytes:
        """Keep a payload for its sender alone, for a transaction that is signed outside the node; gives its hash.

        Raises `UnknownKeyError`.
        """
        if not plain:
            raise MalformedError("there is no payload: give its bytes")
        raw = self._enclave.seal_raw(plain, self._sender(sender))
        await self._store.add_raw(raw)
        return raw.hash

    async def send_signed(self, request: SignedRequest) -> Sent:
        """Send a payload that `store_raw` kept. The same again, after a failure too, has no second effect; with more
        recipients it is sent to those as well.

        Raises as `send`, `UnknownHashError` when there is no such raw payload, and `ConflictError` when it was sent
        before by other rules.
        """
        raw = await self._store.raw(request.hash)
        if raw is None:
            raise UnknownHashError("no payload with this hash was stored: store it first")
        recipients = self._enclave.recipients(request.recipients, raw.sender)
        known = await self._store.payload(request.hash)
        if known is not None:
            _check_same(request, recipients, known)
            if set(recipients).issubset(known.recipients):
                return self._sent(request.hash, raw.sender, recipients)
        affected = await self._checked(request, recipients)
        remote = await self._resolve(recipients, request.flag)

        def wrap(before: Payload | None) -> Payload:
            return self._enclave.wrap(
                raw,
                recipients,
                flag=request.flag,
                affected=affected,
                exec_hash=request.exec_hash,
                mandatory=request.mandatory,
                group_id=request.group_id,
                known=before,
            )

        payload = wrap(known)
        # Kept before it is pushed: a try after a crash must use the same recipient nonce.
        kept = await self._store.keep_wrapped(payload)
        if kept.recipient_nonce != payload.recipient_nonce:
            payload = wrap(kept)
        await self._push(payload, remote)
        await self._store.add(payload, was_wrapped=True)
        return self._sent(request.hash, raw.sender, recipients)

    async def create_encoded(self, request: SendRequest) -> Payload:
        """A payload that is neither pushed nor kept (contract extension). Raises as `send`."""
        sender = self._sender(request.sender)
        recipients = self._enclave.recipients(request.recipients, sender)
        affected = await self._affected(request.affected)
        return self._enclave.seal(
            request.payload,
            sender,
            recipients,
            flag=request.flag,
            affected=affected,
            exec_hash=request.exec_hash,
        )

    def _sender(self, given: bytes | None) -> bytes:
        sender = given or self._enclave.default
        if not self._enclave.holds(sender):
            raise UnknownKeyError("the sender's key is not held here: send with a key of this member")
        return sender

    async def _checked(
        self, request: SendRequest | SignedRequest, recipients: Sequence[bytes]
    ) -> Mapping[bytes, Payload]:
        affected = await self._affected(request.affected)
        check_sending(request.flag, recipients, request.mandatory, request.exec_hash, affected)
        return affected

    async def _affected(self, hashes: Sequence[bytes]) -> Mapping[bytes, Payload]:
        if not hashes:
            return {}
        found = await self._store.payloads(hashes)
        if len(found) < len(set(hashes)):
            raise RuleError("a transaction that this one affects is not held here: only its parties may touch it")
        return found

    async def _resolve(self, recipients: Sequence[bytes], flag: PrivacyFlag) -> Mapping[bytes, Peer]:
        remote = [key for key in recipients if not self._enclave.holds(key)]
        if not remote:
            return {}
        found = await self._peers.resolve(remote)
        if flag is not PrivacyFlag.STANDARD:
            needed = {NEEDS_ENHANCEMENTS} | ({NEEDS_MANDATORY} if flag is PrivacyFlag.MANDATORY_RECIPIENTS else set())
            for peer in found.values():
                if not peer.versions.issuperset(needed):
                    raise RuleError(f"the privacy manager at {peer.url} does not know privacy flag {flag:d}")
        return found

    async def _deliver(self, payload: Payload, remote: Mapping[bytes, Peer]) -> None:
        """Keep a new payload and push it, both at once: a node sends the transactions of an account one by one."""
        keeping = asyncio.ensure_future(self._store.add(payload))
        try:
            await self._push(payload, remote)
        except BaseException:
            # Nobody has heard of its hash.
            with contextlib.suppress(MunimentError):
                await keeping
                await self._store.delete(payload.hash)
            raise
        await keeping

    async def _push(self, payload: Payload, remote: Mapping[bytes, Peer]) -> None:
        pushes = [self._peers.push(peer, for_recipient(payload, key)) for key, peer in remote.items()]
        if len(pushes) == 1:
            await pushes[0]
            return
        # All are waited for: none may still be under way when the sender hears of a failure, and tries again.
        results = await asyncio.gather(*pushes, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _sent(self, payload_hash: bytes, sender: bytes, recipients: Sequence[bytes]) -> Sent:
        return Sent(payload_hash, sender, tuple(key for key in recipients if self._enclave.holds(key)))


def _check_same(request: SignedRequest, recipients: Sequence[bytes], known: Payload) -> None:
    """Raises `ConflictError` when a payload that all parties have already is to be sent by other rules."""
    same = (
        known.flag is request.flag
        and known.exec_hash == request.exec_hash
        and set(known.mandatory) == set(request.mandatory)
        and set(known.affected) == set(request.affected)
        and (known.flag is not PrivacyFlag.PRIVATE_STATE_VALIDATION or set(known.recipients) == set(recipients))
    )
    if not same:
        raise ConflictError(
            "this payload was sent before with another privacy flag, or touched other contracts: store it again, and"
            " sign a transaction with the new hash"
        )
