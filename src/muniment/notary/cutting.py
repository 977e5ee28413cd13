"""Writes receipts in the format of `muniment.proof.receipt`."""

from __future__ import annotations

from muniment.kernel.encoding import from_hex
from muniment.notary import values
from muniment.notary.receipts import Cut, Material, Position
from muniment.notary.settings import Settings
from muniment.proof.receipt import Anchor, Log, build


def receipt_cut(settings: Settings, submitter: str) -> Cut:
    """How a notary with these settings and this submitting account writes its receipts."""

    def cut(material: Material) -> str:
        position, anchor = material.position, material.anchor
        return build(
            material.statement,
            name_hint=material.name or None,
            log=None if position is None else _log(position),
            header=None if position is None else position.header,
            anchor=None if anchor is None else _anchor(settings, submitter, anchor),
        ).to_json()

    return cut


def _log(position: Position) -> Log:
    return Log(leaf_index=position.index, tree_size=position.size, root=position.root, path=tuple(position.path))


def _anchor(settings: Settings, submitter: str, anchor: values.Anchor) -> Anchor:
    return Anchor.model_validate(
        {
            "type": f"goquorum-{settings.consensus}",
            "network": settings.network,
            "chain_id": settings.chain_id,
            "contract": settings.contract,
            "submitter": submitter,
            "seq": anchor.seq,
            "block_number": anchor.block_number,
            "block_hash": from_hex(anchor.block_hash),
            "block_time": anchor.block_time,
            "transaction": from_hex(anchor.transaction),
        }
    )
