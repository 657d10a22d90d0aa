"""What a finished session came to: gathered from the gateway, told as JSON or as a page for a person."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from triptych_gateway.cli.rest.answers import Job, Model, Phase, Problem, Session, Snapshot
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.rest.following import ConnectionLost, ConnectionRestored, FollowingOptions, patiently
from triptych_gateway.cli.terminal import wording
from triptych_gateway.cli.terminal.text import printable

_SHOWN_REASONS: Final = 20
"""How many failed photos, and how many unreadable folders or files, are named to a person."""
_STATUS_STYLES: Final = {"completed": "bold green", "failed": "bold red", "cancelled": "bold yellow"}


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One session at its end."""

    session: Session
    snapshot: Snapshot
    failed: tuple[Job, ...]
    """All photos that have no result, whichever phase they failed in."""
    problems: tuple[Problem, ...]
    """All folders and files that discovery could not read."""
    groups: int
    page_url: str
    """Where the web page shows this session."""

    @property
    def embedded(self) -> int:
        """Photos embedded in this session; those known already are not among them."""
        training = self.snapshot.phases.training
        if training.stats is not None and training.stats.images_embedded is not None:
            return training.stats.images_embedded
        return max(0, training.progress.current - self.skipped - (training.failed or 0))

    @property
    def skipped(self) -> int:
        """Photos that this model had embedded before."""
        return self.snapshot.phases.training.progress.skipped or self.session.skipped_images

    @property
    def faces(self) -> int:
        """Faces found in this session's photos."""
        stats = self.snapshot.phases.face_detection.stats
        if stats is not None and stats.faces_detected is not None:
            return stats.faces_detected
        return 0

    def as_json(self) -> str:
        """One line of ASCII JSON; bytes of a path that are not UTF-8 are lone surrogates (PEP 383)."""
        return json.dumps(self._as_object(), ensure_ascii=True)

    def _as_object(self) -> dict[str, object]:
        phases = self.snapshot.phases
        broken = next((phase for phase in phases.in_order() if phase.error is not None), None)
        error = None
        if broken is not None and broken.error is not None:
            error = {"phase": broken.name, "code": broken.error.code, "message": broken.error.message}
        return {
            "session_id": self.session.id,
            "status": self.snapshot.overall_status,
            "photos": self.session.total_images,
            "embedded": self.embedded,
            "skipped": self.skipped,
            "failed": [
                {"path": job.image_path, "code": job.error_code, "reason": job.error_message, "phase": job.error_phase}
                for job in self.failed
            ],
            "problems": [
                {"path": problem.path, "code": problem.code, "reason": problem.message} for problem in self.problems
            ],
            "faces": self.faces,
            "groups": self.groups,
            "seconds_per_phase": {phase.name: phase_seconds(phase) for phase in phases.in_order()},
            "models": {
                "embedding": _model_object(phases.training.model),
                "faces": _model_object(phases.face_detection.model),
            },
            "error": error,
            "page_url": self.page_url,
        }

    def print(self, console: Console) -> None:
        """Tells a person, with at most twenty failed photos and twenty unreadable places by name."""
        status = self.snapshot.overall_status
        console.print()
        console.print(
            Text(f"Session {self.session.id} ", style="bold").append(status, style=_STATUS_STYLES.get(status, "bold"))
        )
        console.print(self._numbers())
        for sentence in wording.failures(self.snapshot):
            _line(console, f"✗ {sentence}", style="red")
        self._print_reasons(console)
        for notice in self._notices():
            _line(console, f"note: {printable(notice)}", style="yellow")
        _line(console, f"page: {self.page_url}")

    def _notices(self) -> list[str]:
        """What must be said beside the results of the models at work."""
        embedding, faces = self.snapshot.phases.training.model, self.snapshot.phases.face_detection.model
        notices = [model.notice for model in (embedding, faces) if model is not None and model.notice]
        if embedding is not None and embedding.pack == "bundled" and not embedding.notice:
            notices.insert(0, "the bundled embedding model is not CLIP: it cannot be searched by text")
        return notices

    def _numbers(self) -> Table:
        phases = self.snapshot.phases
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bright_black", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("photos", wording.count(self.session.total_images), "")
        embedding, faces = _model_words(phases.training.model), _model_words(phases.face_detection.model)
        table.add_row("embedded", wording.count(self.embedded), embedding)
        table.add_row("skipped", wording.count(self.skipped), "known already" if self.skipped else "")
        failed = Text(wording.count(len(self.failed)), style="red" if self.failed else "")
        table.add_row("failed", failed, "")
        if self.problems:
            table.add_row("unreadable", Text(wording.count(len(self.problems)), style="red"), "folders or files")
        table.add_row("faces", wording.count(self.faces), faces)
        table.add_row("groups", wording.count(self.groups), "")
        for phase in phases.in_order():
            seconds = phase_seconds(phase)
            name = wording.SHORT_NAMES.get(phase.name, phase.name).lower()
            table.add_row(name, "–" if seconds is None else wording.duration(seconds), "")
        return table

    def _print_reasons(self, console: Console) -> None:
        failed = [_reason(job.image_path, job.error_message, job.error_code) for job in self.failed]
        _some(console, "Photos without a result:", failed)
        problems = [_reason(problem.path, problem.message, problem.code) for problem in self.problems]
        _some(console, "Could not be read:", problems)


async def gather_report(
    client: GatewayClient,
    snapshot: Snapshot,
    *,
    options: FollowingOptions,
    tell: Callable[[ConnectionLost | ConnectionRestored], None],
) -> RunReport:
    """Reads everything a report holds, page after page, patiently; `snapshot` is the session's last one."""
    session_id = snapshot.session_id
    return RunReport(
        session=await patiently(lambda: client.session(session_id), options=options, tell=tell),
        snapshot=snapshot,
        failed=await patiently(lambda: client.failed_jobs(session_id), options=options, tell=tell),
        problems=await patiently(lambda: client.all_problems(session_id), options=options, tell=tell),
        groups=(await patiently(lambda: client.groups(session_id, page_size=1), options=options, tell=tell)).total,
        page_url=session_page(client.base_url, session_id),
    )


def session_page(base_url: str, session_id: int) -> str:
    """Where the gateway's web page shows a session."""
    return f"{base_url}/#/sessions/{session_id}"


def phase_seconds(phase: Phase) -> float | None:
    """Seconds a phase worked: as the gateway measured it, else from its start to its end; None if it never ran."""
    if phase.elapsed_seconds is not None:
        return phase.elapsed_seconds
    if phase.started_at is None or phase.completed_at is None:
        return None
    return (datetime.fromisoformat(phase.completed_at) - datetime.fromisoformat(phase.started_at)).total_seconds()


def _model_object(model: Model | None) -> dict[str, str | None] | None:
    return None if model is None else {"id": model.id, "pack": model.pack, "device": model.device}


def _model_words(model: Model | None) -> Text:
    if model is None:
        return Text()
    parts = [model.id, f"{model.pack} pack" if model.pack else "", f"on {model.device}" if model.device else ""]
    return Text(printable(", ".join(part for part in parts if part)), style="bright_black")


def _reason(path: str, message: str | None, code: str | None) -> str:
    why = printable(message or code or "no reason was given")
    return f"{printable(path)}: {why} ({printable(code)})" if message and code else f"{printable(path)}: {why}"


def _some(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    _line(console, title, style="bold")
    for line in lines[:_SHOWN_REASONS]:
        _line(console, f"  {line}")
    if len(lines) > _SHOWN_REASONS:
        _line(console, f"  … and {wording.count(len(lines) - _SHOWN_REASONS)} more")


def _line(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
