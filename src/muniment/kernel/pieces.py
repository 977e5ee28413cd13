"""Streams of bytes in pieces of a size that is worth handing over."""

from __future__ import annotations

from collections.abc import Iterator


def next_piece(source: Iterator[bytes], least: int) -> bytes:
    """The next bytes of `source`, joined until there are at least `least`; fewer at the end, then none."""
    pieces = []
    size = 0
    for piece in source:
        pieces.append(piece)
        size += len(piece)
        if size >= least:
            break
    return b"".join(pieces)
