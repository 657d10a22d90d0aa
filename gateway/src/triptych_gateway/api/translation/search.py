"""Search spaces as bodies."""

from triptych_gateway.api import schemas
from triptych_gateway.catalog.search.search_spaces import SpaceState


def space_body(state: SpaceState, *, active_model: str | None) -> schemas.SearchSpace:
    """A space as it stands."""
    space = state.space
    stage = space.build_stage
    if stage is None and (space.rebuild_asked_at is not None or space.dimension is None):
        return _body(state, active_model=active_model, stage="waiting", done=0)
    done = space.build_done if state.linked is None else state.linked
    return _body(state, active_model=active_model, stage=stage or "ready", done=min(done, space.build_total))


def _body(state: SpaceState, *, active_model: str | None, stage: schemas.SpaceState, done: int) -> schemas.SearchSpace:
    space = state.space
    return schemas.SearchSpace(
        model=space.model_id,
        is_active=space.model_id == active_model,
        dimension=space.dimension,
        photos=space.photo_count,
        waiting=state.waiting,
        method="graph" if space.has_graph else "exact",
        state=stage,
        done=done,
        total=space.build_total,
        size_bytes=state.size_bytes,
        built_at=space.built_at,
        build_seconds=space.build_seconds,
    )
