"""The genesis of the chain: computed from specification and identities, read back, and compared with them.

Pure and deterministic: every operator of the consortium computes the same bytes, whatever the order of members in his
specification. Field names are those of GoQuorum 22.7.4 (params/config.go, core/genesis.go). An `ibft` section is used
and not `istanbul`: the latter is deprecated, ignores the periods, and reads an absent `ceil2Nby3Block` as 2F + 1
(eth/ethconfig/config.go).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from muniment.identity import extradata
from muniment.identity.keys import address_bytes, checksum_address
from muniment.identity.model import Identities
from muniment.kernel.encoding import from_hex, pretty_json, to_hex
from muniment.kernel.errors import IntegrityError
from muniment.spec.model import Chain, Consensus, Consortium, Privacy

EPOCH_BLOCKS = 30_000
"""Votes about validators that found no majority are dropped every so many blocks (GoQuorum's default)."""

MIX_HASH_OF_BFT = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
"""Marks blocks of QBFT and IBFT (core/types/istanbul.go, `IstanbulDigest`)."""

ZERO_HASH = to_hex(bytes(32))
TRANSACTION_KILOBYTES = 128
CODE_KILOBYTES = 64

PRIVACY_FIELD = "privacyEnhancementsBlock"
"""From this block on the privacy flags 1 to 3 count, and GoQuorum refuses to start without a privacy manager."""

Allocation = Mapping[str, Any]
"""The `alloc` section: account by address (40 small hex digits)."""

_FORKS = (
    "homesteadBlock", "eip150Block", "eip155Block", "eip158Block", "byzantiumBlock", "constantinopleBlock",
    "petersburgBlock", "istanbulBlock", "muirGlacierBlock",
)  # fmt: skip
_LAST_FORK = "berlinBlock"
"""Not together with private transactions: GoQuorum runs those once before it sends them, without the access list that
Berlin wants (internal/ethapi/api.go, `runSimulation`), and each call of a contract that writes ends in a panic."""

_SECTIONS = (Consensus.QBFT, Consensus.IBFT, Consensus.CLIQUE)


@dataclass(frozen=True)
class GenesisFacts:
    """What a genesis says about the chain. A period is None where this consensus keeps it elsewhere."""

    chain_id: int
    consensus: Consensus
    block_period_seconds: int | None
    empty_block_period_seconds: int | None
    request_timeout_seconds: int | None
    gas_limit: int
    validators: tuple[str, ...]
    """Addresses with checksum, ascending by their bytes; with raft the nodes that founded the chain."""
    allocation: Allocation
    privacy: bool
    """Whether there are private transactions, with all their privacy flags."""
    multiple_states: bool
    """Whether every privacy key has a private state of its own."""


def build(spec: Consortium, identities: Identities, allocation: Allocation | None = None) -> str:
    """The text of genesis.json.

    `allocation` is the `alloc` section (`identity.anchoring` makes it). Raises `IntegrityError` when nobody validates.
    """
    chain = spec.chain
    validators = [address_bytes(node.coinbase) for node in identities.validators]
    if not validators:
        raise IntegrityError("nobody validates: a chain needs at least one validator among the nodes of its members")
    bft = chain.consensus in (Consensus.QBFT, Consensus.IBFT)
    return pretty_json(
        {
            "alloc": dict(allocation or {}),
            "coinbase": to_hex(bytes(20)),
            "config": _config(chain) | _privacy(spec.privacy),
            "difficulty": "0x0" if chain.consensus is Consensus.RAFT else "0x1",
            "extraData": to_hex(extradata.build(chain.consensus, validators)),
            "gasLimit": hex(chain.gas_limit),
            "mixHash": MIX_HASH_OF_BFT if bft else ZERO_HASH,
            "nonce": "0x0",
            "parentHash": ZERO_HASH,
            "timestamp": "0x0",
        }
    )


def _config(chain: Chain) -> dict[str, Any]:
    config: dict[str, Any] = dict.fromkeys(_FORKS, 0)
    config |= {
        "chainId": chain.id,
        "eip150Hash": ZERO_HASH,
        "isQuorum": True,
        "maxCodeSizeConfig": [{"block": 0, "size": CODE_KILOBYTES}],
        "txnSizeLimit": TRANSACTION_KILOBYTES,
    }
    if chain.consensus is Consensus.CLIQUE:
        config["clique"] = {"period": chain.block_period_seconds, "epoch": EPOCH_BLOCKS}
    elif chain.consensus in (Consensus.QBFT, Consensus.IBFT):
        section = {
            "epochlength": EPOCH_BLOCKS,
            "blockperiodseconds": chain.block_period_seconds,
            "requesttimeoutseconds": chain.request_timeout_seconds,
            "policy": 0,
            "ceil2Nby3Block": 0,
        }
        if chain.consensus is Consensus.QBFT:
            section["emptyblockperiodseconds"] = chain.empty_block_period_seconds
        config[chain.consensus.value] = section
    return config


def _privacy(privacy: Privacy) -> dict[str, Any]:
    # Without private transactions the text is that of versions that knew none.
    return {"isMPS": privacy.multiple_states, PRIVACY_FIELD: 0} if privacy.enabled else {_LAST_FORK: 0}


def decode(text: str) -> GenesisFacts:
    """Read a genesis back, strictly.

    Raises `IntegrityError` when it is not JSON, not such a genesis, or has validators that are damaged, out of order or
    double.
    """
    try:
        document = json.loads(text)
        config = document["config"]
        consensus = _consensus(config)
        section = config.get(consensus.value, {})
        if consensus in (Consensus.QBFT, Consensus.IBFT):
            _check_quorum(section)
        return GenesisFacts(
            chain_id=_number(config["chainId"]),
            consensus=consensus,
            block_period_seconds=_optional(
                section, "period" if consensus is Consensus.CLIQUE else "blockperiodseconds"
            ),
            empty_block_period_seconds=_optional(section, "emptyblockperiodseconds"),
            request_timeout_seconds=_optional(section, "requesttimeoutseconds"),
            gas_limit=int(document["gasLimit"], 16),
            validators=tuple(
                checksum_address(raw) for raw in extradata.validators(consensus, from_hex(document["extraData"]))
            ),
            allocation={address.lower(): account for address, account in document["alloc"].items()},
            privacy=_has_privacy(config),
            multiple_states=_flag(config, "isMPS"),
        )
    except KeyError as error:
        raise IntegrityError(f"the genesis has no field {error}: restore the file that muniment wrote") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"the genesis is damaged ({error}): restore the file that muniment wrote") from error


def _consensus(config: Mapping[str, Any]) -> Consensus:
    named = [consensus for consensus in _SECTIONS if consensus.value in config]
    if len(named) > 1:
        raise ValueError("it names more than one consensus")
    return named[0] if named else Consensus.RAFT


def _check_quorum(section: Mapping[str, Any]) -> None:
    if section["ceil2Nby3Block"] != 0:
        raise ValueError("ceil2Nby3Block must be 0: otherwise a block is final with too few validators")


def _has_privacy(config: Mapping[str, Any]) -> bool:
    if PRIVACY_FIELD not in config:
        return False
    if _number(config[PRIVACY_FIELD]) != 0:
        raise ValueError(f"{PRIVACY_FIELD} must be 0: privacy flags count from the first block on, or not at all")
    return True


def _flag(config: Mapping[str, Any], field: str) -> bool:
    value = config.get(field, False)
    if type(value) is not bool:
        raise TypeError(f"{field} stands there as {value!r}")
    return value


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"a number stands there as {value!r}")
    return value


def _optional(section: Mapping[str, Any], field: str) -> int | None:
    return _number(section[field]) if field in section else None


def check(text: str, spec: Consortium, identities: Identities, allocation: Allocation | None = None) -> None:
    """Compare a genesis with specification and identities; raises `IntegrityError` naming the first difference.

    Nodes that came after the genesis are allowed: they do not validate (with raft they are refused).
    """
    facts = decode(text)
    _check_chain(facts, spec.chain)
    _check_privacy(facts, spec.privacy)
    _check_validators(facts, identities)
    _check_counts(facts, spec, identities)
    _check_allocation(facts, allocation or {})


def _check_chain(facts: GenesisFacts, chain: Chain) -> None:
    fields = (
        ("chain.id", facts.chain_id, chain.id),
        ("chain.consensus", facts.consensus.value, chain.consensus.value),
        ("chain.block_period_seconds", facts.block_period_seconds, chain.block_period_seconds),
        ("chain.empty_block_period_seconds", facts.empty_block_period_seconds, chain.empty_block_period_seconds),
        ("chain.request_timeout_seconds", facts.request_timeout_seconds, chain.request_timeout_seconds),
        ("chain.gas_limit", facts.gas_limit, chain.gas_limit),
    )
    for field, started, wanted in fields:
        if started not in (None, wanted):
            raise IntegrityError(
                f"{field} is {wanted}, but the chain was started with {field.partition('.')[2]} {started}:"
                " restore that, or use a new state directory"
            )


def _check_privacy(facts: GenesisFacts, privacy: Privacy) -> None:
    if privacy.enabled and not facts.privacy:
        raise IntegrityError(
            "privacy.enabled is true (the default), but the chain was started without private transactions: set"
            " privacy.enabled to false, or use a new state directory"
        )
    if facts.privacy and not privacy.enabled:
        raise IntegrityError(
            "privacy.enabled is false, but the chain was started with private transactions: set it to true, or use a"
            " new state directory"
        )
    if facts.multiple_states is not privacy.multiple_states:
        now, then = (str(value).lower() for value in (privacy.multiple_states, facts.multiple_states))
        raise IntegrityError(
            f"privacy.multiple_states is {now}, but the chain was started with {then}: restore that, or use a new state"
            " directory"
        )


def _check_validators(facts: GenesisFacts, identities: Identities) -> None:
    founding = set(facts.validators)
    lost = founding - {node.coinbase for node in identities.nodes}
    if lost:
        raise IntegrityError(
            f"the chain was started with validator {min(lost)}, which is no node of any member now: restore the number"
            " of nodes and the identities that the chain was started with, or use a new state directory"
        )
    for node in identities.nodes:
        if node.coinbase in founding:
            continue
        if facts.consensus is Consensus.RAFT:
            raise IntegrityError(
                f"{node.name} is not among the nodes that the chain was started with, and raft takes no others:"
                " remove it from the specification, or use a new state directory"
            )
        if node.validator:
            raise IntegrityError(
                f"{node.name} ({node.coinbase}) is given as a validator, but the chain was started without it:"
                " export that member's public file again, or use a new state directory"
            )


def _check_counts(facts: GenesisFacts, spec: Consortium, identities: Identities) -> None:
    founding = set(facts.validators)
    for name, member in spec.own_members.items():
        started = sum(node.coinbase in founding for node in identities.of(name).nodes)
        if member.validators not in (None, started):
            raise IntegrityError(
                f"members.{name}.validators is {member.validators}, but the chain was started with validators {started}"
                f" of {name}, and the genesis fixes them: restore that, or use a new state directory"
            )


def _check_allocation(facts: GenesisFacts, wanted: Allocation) -> None:
    for address in sorted(facts.allocation.keys() | wanted.keys()):
        started, now = facts.allocation.get(address), wanted.get(address)
        if started == now:
            continue
        if started and now and started.get("code") == now.get("code"):
            raise IntegrityError(
                "members: the accounts that may anchor by the chain's genesis are not those of the members now: restore"
                " the members and identities that the chain was started with, or use a new state directory"
            )
        raise IntegrityError(
            f"account 0x{address} in the genesis is not what this version of muniment puts there: use the version that"
            " the chain was started with, or a new state directory"
        )
