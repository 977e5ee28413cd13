"""What each privacy flag allows: every rule of sender and receiver with a case that passes and one that does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from muniment.privacy.errors import RuleError
from muniment.privacy.rules import check_sending, judge_push
from muniment.privacy.values import Payload, PrivacyFlag
from tests.unit.privacy_payloads import EXEC_HASH, STORED, A, B, C

CONTRACT = b"\x01" * 64
OTHER = b"\x02" * 64
PROOF = b"\x03" * 64
STANDARD, PROTECTED, MANDATORY, VALIDATED = PrivacyFlag


def made(flag: PrivacyFlag, **changes: object) -> Payload:
    """A payload of this flag that keeps the rules of its own."""
    exec_hash = EXEC_HASH if flag is VALIDATED else b""
    mandatory = (B,) if flag is MANDATORY else ()
    payload = replace(STORED, flag=flag, exec_hash=exec_hash, mandatory=mandatory)
    return replace(payload, **changes)  # type: ignore[arg-type]


def check(flag: PrivacyFlag, contract: Payload | None = None, **changes: object) -> None:
    payload = made(flag, **changes)
    affected = {} if contract is None else {CONTRACT: contract}
    check_sending(flag, payload.recipients, payload.mandatory, payload.exec_hash, affected)


# Sending


@pytest.mark.parametrize("flag", PrivacyFlag)
def test_a_new_contract_and_a_call_with_its_flag_are_sent(flag: PrivacyFlag) -> None:
    check(flag)
    check(flag, made(flag))


@pytest.mark.parametrize("flag", PrivacyFlag)
@pytest.mark.parametrize("other", PrivacyFlag)
def test_a_call_has_the_flag_of_the_contract(flag: PrivacyFlag, other: PrivacyFlag) -> None:
    if flag is other:
        check(flag, made(other))
    else:
        with pytest.raises(RuleError, match="use the contract's flag"):
            check(flag, made(other))


def test_with_private_state_validation_the_recipients_never_change() -> None:
    check(VALIDATED, made(VALIDATED, recipients=(A, B)))
    for recipients in ((A, B, C), (A,), (A, C)):
        with pytest.raises(RuleError, match="never change"):
            check(VALIDATED, made(VALIDATED, recipients=recipients))


def test_only_with_private_state_validation_they_do() -> None:
    for flag in (STANDARD, PROTECTED, MANDATORY):
        check(flag, made(flag, recipients=(B, C, A)))


def test_mandatory_recipients_are_recipients() -> None:
    check(MANDATORY, mandatory=(B, A))
    with pytest.raises(RuleError, match="not among the recipients"):
        check(MANDATORY, mandatory=(B, C))


def test_the_list_of_mandatory_recipients_never_shrinks() -> None:
    check(MANDATORY, made(MANDATORY, mandatory=(B,)), mandatory=(A, B))
    with pytest.raises(RuleError, match="of the contract"):
        check(MANDATORY, made(MANDATORY, mandatory=(A, B)), mandatory=(B,))


def test_mandatory_recipients_go_with_their_flag() -> None:
    with pytest.raises(RuleError, match="flag is 2"):
        check(MANDATORY, mandatory=())
    for flag in (STANDARD, PROTECTED, VALIDATED):
        with pytest.raises(RuleError, match="flag is 2"):
            check(flag, mandatory=(B,))


def test_an_exec_hash_goes_with_its_flag_and_is_base64() -> None:
    with pytest.raises(RuleError, match="flag is 3"):
        check(VALIDATED, exec_hash=b"")
    for flag in (STANDARD, PROTECTED, MANDATORY):
        with pytest.raises(RuleError, match="flag is 3"):
            check(flag, exec_hash=EXEC_HASH)
    with pytest.raises(RuleError, match="base64"):
        check(VALIDATED, exec_hash=b"no base64")


# Receiving


def judge(payload: Payload, held: dict[bytes, Payload], right: set[bytes] | None = None) -> Payload | None:
    return judge_push(payload, held, lambda known, _: right is None or known in right)


@pytest.mark.parametrize("flag", PrivacyFlag)
def test_a_pushed_contract_and_a_proved_call_are_kept_as_they_are(flag: PrivacyFlag) -> None:
    contract = made(flag)
    assert judge(contract, {}) is contract
    call = made(flag, affected={CONTRACT: PROOF})
    assert judge(call, {CONTRACT: contract}) is call


@pytest.mark.parametrize("flag", PrivacyFlag)
@pytest.mark.parametrize("other", PrivacyFlag)
def test_a_pushed_call_with_another_flag_than_the_contract_is_not_kept(flag: PrivacyFlag, other: PrivacyFlag) -> None:
    call = made(flag, affected={CONTRACT: PROOF})
    assert judge(call, {CONTRACT: made(other)}) is (call if flag is other else None)


@pytest.mark.parametrize("flag", [PROTECTED, MANDATORY])
def test_what_is_unknown_or_not_proved_is_left_out(flag: PrivacyFlag) -> None:
    call = made(flag, affected={CONTRACT: PROOF, OTHER: PROOF})
    contract = made(flag)
    assert judge(call, {CONTRACT: contract}) == replace(call, affected={CONTRACT: PROOF})
    assert judge(call, {CONTRACT: contract, OTHER: contract}, {OTHER}) == replace(call, affected={OTHER: PROOF})
    assert judge(call, {}) == replace(call, affected={})


def test_a_pushed_call_that_forgets_a_mandatory_recipient_is_not_kept() -> None:
    contract = made(MANDATORY, mandatory=(A, B))
    assert judge(made(MANDATORY, affected={CONTRACT: PROOF}, mandatory=(B,)), {CONTRACT: contract}) is None
    more = made(MANDATORY, affected={CONTRACT: PROOF}, mandatory=(C, B, A))
    assert judge(more, {CONTRACT: contract}) is more


def test_validated_calls_are_kept_only_when_all_that_they_affect_is_here() -> None:
    call = made(VALIDATED, affected={CONTRACT: PROOF, OTHER: PROOF})
    contract = made(VALIDATED)
    assert judge(call, {CONTRACT: contract}) is None
    assert judge(call, {CONTRACT: contract, OTHER: contract}) is call


def test_a_validated_call_of_a_stranger_is_not_kept() -> None:
    call = made(VALIDATED, affected={CONTRACT: PROOF}, sender=C, recipients=(B, A, C))
    assert judge(call, {CONTRACT: made(VALIDATED)}) is None


def test_a_validated_call_with_other_recipients_is_refused() -> None:
    contract = made(VALIDATED)
    for recipients in ((B, A, C), (A,)):
        with pytest.raises(RuleError, match="never change"):
            judge(made(VALIDATED, affected={CONTRACT: PROOF}, recipients=recipients), {CONTRACT: contract})


def test_a_validated_call_without_proof_is_refused() -> None:
    call = made(VALIDATED, affected={CONTRACT: PROOF, OTHER: PROOF})
    held = {CONTRACT: made(VALIDATED), OTHER: made(VALIDATED)}
    with pytest.raises(RuleError, match="no party of the contract"):
        judge(call, held, {CONTRACT})
