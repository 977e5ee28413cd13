"""The error tree. Everything that muniment raises on purpose is one of these.

MunimentError                 one sentence for the user, and an exit status
├── InputError                what the user gave is wrong (exit status 2)
├── MissingToolError          a program that muniment needs is not on this machine (2)
├── IntegrityError            things that must agree do not: a damaged identity, a foreign genesis (1)
├── WaitTimeoutError          a condition did not come true in its time (1)
├── TemporaryError            try again: carries the delay (1)
└── PermanentError            trying again is of no use (1)

A message says what happened and what to do, in one sentence without a trailing stop where possible.
Foreign exceptions are mapped to this tree at the edge where they occur, with the cause chained.
"""

from __future__ import annotations

from typing import ClassVar


class MunimentError(Exception):
    """Root of the tree. `str(error)` is the sentence that the user reads."""

    exit_status: ClassVar[int] = 1


class InputError(MunimentError):
    """What the user gave (specification, file, option) is wrong; the message says where and what is right."""

    exit_status = 2


class MissingToolError(MunimentError):
    """A program that muniment needs is missing; the message holds the command that installs it."""

    exit_status = 2


class IntegrityError(MunimentError):
    """Stored things contradict one another; nothing was started or overwritten."""


class WaitTimeoutError(MunimentError):
    """A condition did not come true in its time; the message names it and the last cause."""


class TemporaryError(MunimentError):
    """It may work in `delay` seconds."""

    def __init__(self, message: str, *, delay: float = 1.0) -> None:
        super().__init__(message)
        self.delay = delay


class PermanentError(MunimentError):
    """It will not work however often it is tried."""
