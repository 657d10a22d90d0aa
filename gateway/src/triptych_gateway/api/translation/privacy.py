"""Forgettings as the contract has them."""

from triptych_gateway.api import schemas
from triptych_gateway.catalog.privacy.forgettings import Forgetting


def forgetting_body(forgetting: Forgetting) -> schemas.Forgetting:
    """A forgetting."""
    return schemas.Forgetting(
        id=forgetting.id,
        kind=forgetting.kind,
        subject_id=forgetting.subject_id,
        keep_out=forgetting.keeps_out,
        persons=forgetting.persons,
        faces=forgetting.faces,
        photos=forgetting.photos,
        sessions=forgetting.sessions,
        waits_for=forgetting.waits_for,
        asked_at=forgetting.asked_at,
        done_at=forgetting.done_at,
    )
