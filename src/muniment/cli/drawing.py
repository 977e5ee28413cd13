"""Progress on a terminal: one line for each subject, with a spinner, counts when there are any, and time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from muniment.kernel.events import Listener, Step


class _CountColumn(ProgressColumn):
    """A bar and the counts, for subjects that have a total."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = BarColumn(bar_width=24)

    def render(self, task: Task) -> Text:
        if task.total is None or not task.fields["counts"]:
            return Text("")
        share = int(24 * min(1.0, task.completed / max(1.0, task.total)))
        return Text(f"{'━' * share}{'╺' * (24 - share)} {task.completed:.0f}/{task.total:.0f}", style="cyan")


@contextmanager
def listener() -> Iterator[Listener]:
    """Draws on standard error until the `with` block ends; what has ended stays visible."""
    console = Console(stderr=True)
    progress = Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("[bold]{task.fields[subject]}[/]"),
        _CountColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
    )
    tasks: dict[str, TaskID] = {}

    def tell(step: Step) -> None:
        if step.state == "warn":
            progress.console.print(f"[yellow]{escape(step.subject)}: {escape(step.text)}[/]")
            return
        if step.subject not in tasks:
            tasks[step.subject] = progress.add_task("", total=None, subject=escape(step.subject), counts=False)
        task = tasks[step.subject]
        progress.update(task, description=escape(step.text))
        if step.total is not None:
            progress.update(task, total=step.total, completed=step.done or 0, counts=True)
        if step.state == "end":
            # A bar that is full is what ends the spinner.
            total = step.total if step.total is not None else 1
            progress.update(task, total=total, completed=total)

    with progress:
        yield tell
