"""Sessions, their photos and what could not be read, as bodies."""

from triptych_common.media.locations import display_path
from triptych_gateway.api import schemas
from triptych_gateway.catalog.clustering.changed_persons import ChangedPerson
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.sessions import jobs, sessions


def session_body(session: sessions.Session) -> schemas.Session:
    """A session."""
    discovering = session.status == "running" and session.discovered_at is None
    return schemas.Session(
        id=session.id,
        name=session.name,
        status="discovering" if discovering else session.status,
        root_path=display_path(session.root_path),
        category_id=session.category.id if session.category else None,
        category=schemas.CategorySummary.model_validate(vars(session.category)) if session.category else None,
        config=schemas.SessionConfig.model_validate(session.config),
        total_images=session.total,
        processed_images=session.done + session.failed + session.skipped,
        failed_images=session.failed,
        skipped_images=session.skipped,
        created_at=session.created_at,
        started_at=session.started_at,
        completed_at=session.completed_at,
        paused_at=session.paused_at,
    )


def job_body(job: jobs.Job) -> schemas.Job:
    """A job."""
    return schemas.Job(
        id=job.id,
        session_id=job.session_id,
        asset_id=job.asset_id,
        status=job.status,  # type: ignore[arg-type]
        rq_job_id=None,
        progress=0 if job.status in ("pending", "cancelled") else 100,
        error_message=job.error_message,
        error_code=job.error_code,
        error_phase=job.error_phase,  # type: ignore[arg-type]
        processing_time_ms=round(job.processing_microseconds / 1000)
        if job.processing_microseconds is not None
        else None,
        image_path=display_path(job.path),
        skip_reason="already_embedded" if job.status == "skipped" else None,
        created_at=job.created_at,
        started_at=None,
        completed_at=job.completed_at,
    )


def problem_body(problem: photos.Problem) -> schemas.Problem:
    """What discovery could not read."""
    return schemas.Problem(path=display_path(problem.path), code=problem.code, message=problem.message)


def changed_person_body(change: ChangedPerson) -> schemas.ChangedPerson:
    """What a clustering made of a person with a name."""
    return schemas.ChangedPerson(**vars(change))
