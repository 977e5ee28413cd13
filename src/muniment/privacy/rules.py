"""The rules of the privacy flags, for who sends and for who receives (Tessera PrivacyHelperImpl.java). Pure.

A transaction *affects* those that made the contracts which it touches. With any flag but 0 all of them have its flag.

- 1, party protection: only parties of a contract may touch it; who sends proves by a security hash that it can open the
  affected payload.
- 2, mandatory recipients: some keys must be recipients of everything, and the list never shrinks.
- 3, private state validation: the recipients are the same for ever, and all of them know one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from muniment.privacy.envelope import is_base64
from muniment.privacy.errors import RuleError
from muniment.privacy.values import Payload, PrivacyFlag

Valid = Callable[[bytes, Payload], bool]
"""Whether the security hash that the pushed payload gives for this affected one (its hash, the payload) is right."""


def check_sending(
    flag: PrivacyFlag,
    recipients: Sequence[bytes],
    mandatory: Sequence[bytes],
    exec_hash: bytes,
    affected: Mapping[bytes, Payload],
) -> None:
    """Raises `RuleError` when what is to be sent breaks a rule. `recipients` are complete, the sender among them."""
    if bool(mandatory) is not (flag is PrivacyFlag.MANDATORY_RECIPIENTS):
        raise RuleError("mandatory recipients are given if and only if the privacy flag is 2: correct the request")
    if bool(exec_hash) is not (flag is PrivacyFlag.PRIVATE_STATE_VALIDATION):
        raise RuleError("an exec hash is given if and only if the privacy flag is 3: correct the request")
    if not is_base64(exec_hash):
        raise RuleError("the exec hash is no base64: correct the request")
    everybody = set(recipients)
    if not everybody.issuperset(mandatory):
        raise RuleError("a mandatory recipient is not among the recipients: add it")
    for payload in affected.values():
        if payload.flag is not flag:
            raise RuleError(
                f"the transaction has privacy flag {flag:d} and touches a contract with flag {payload.flag:d}:"
                " use the contract's flag"
            )
        if flag is PrivacyFlag.PRIVATE_STATE_VALIDATION and set(payload.recipients) != everybody:
            raise RuleError("the recipients are not those of the touched contract: with flag 3 they never change")
        if flag is PrivacyFlag.MANDATORY_RECIPIENTS and not set(mandatory).issuperset(payload.mandatory):
            raise RuleError("a mandatory recipient of the contract that is touched is missing: add it")


def judge_push(payload: Payload, held: Mapping[bytes, Payload], valid: Valid) -> Payload | None:
    """What to keep of a payload that was pushed here; `None` when it is answered like one that is kept, but is not.

    `held` are those of its affected payloads that are stored here. Affected ones that the sender cannot have opened are
    left out (flags 1 and 2). Raises `RuleError` for what must be refused.
    """
    if any(other.flag is not payload.flag for other in held.values()):
        return None
    if any(not set(payload.mandatory).issuperset(other.mandatory) for other in held.values()):
        return None
    if payload.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION:
        return _judge_validated(payload, held, valid)
    if payload.flag is PrivacyFlag.STANDARD:
        return payload
    good = {known: proof for known, proof in payload.affected.items() if known in held and valid(known, held[known])}
    return payload if len(good) == len(payload.affected) else replace(payload, affected=good)


def _judge_validated(payload: Payload, held: Mapping[bytes, Payload], valid: Valid) -> Payload | None:
    if any(known not in held for known in payload.affected):
        return None
    if any(payload.sender not in other.recipients for other in held.values()):
        return None
    if any(set(other.recipients) != set(payload.recipients) for other in held.values()):
        raise RuleError("the recipients are not those of the touched contract: with flag 3 they never change")
    if not all(valid(known, other) for known, other in held.items()):
        raise RuleError("the sender cannot open a transaction that it affects: it is no party of the contract")
    return payload
