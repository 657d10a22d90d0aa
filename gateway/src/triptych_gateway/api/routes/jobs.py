"""A session's photos, one job each."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from triptych_gateway.api import schemas
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import errors
from triptych_gateway.api.parameters import Id, PageNumber, PageSize
from triptych_gateway.api.translation.sessions import job_body
from triptych_gateway.catalog.sessions import jobs, session_edits, sessions

router = APIRouter(prefix="/api/v1/training", tags=["jobs"])


@router.get("/sessions/{session_id}/jobs")
async def list_jobs(
    session_id: Id,
    context: Context,
    page: PageNumber = 1,
    page_size: PageSize = 50,
    status: Annotated[schemas.JobStatus | None, Query(description="Only jobs with this status.")] = None,
) -> schemas.Page[schemas.Job]:
    """A session's photos, in the order in which they were found."""
    async with context.engine.connect() as connection:
        await sessions.get_session(connection, session_id)
        found, total = await jobs.list_jobs(
            connection, session_id, offset=(page - 1) * page_size, limit=page_size, status=status
        )
    return schemas.Page[schemas.Job].of([job_body(job) for job in found], total=total, page=page, page_size=page_size)


@router.post(
    "/sessions/{session_id}/jobs/{job_id}/retry",
    status_code=HTTPStatus.ACCEPTED,
    responses=errors("not_allowed_now"),
)
async def retry_job(session_id: Id, job_id: Id, context: Context) -> schemas.Job:
    """Have a photo that failed tried again in the session's next run."""
    async with context.engine.begin() as connection:
        return job_body(await session_edits.retry_job(connection, session_id, job_id))


@router.get("/jobs/{job_id}")
async def get_job(job_id: Id, context: Context) -> schemas.Job:
    """One job."""
    async with context.engine.connect() as connection:
        return job_body(await jobs.get_job(connection, job_id))
