"""Categories as bodies."""

from triptych_gateway.api import schemas
from triptych_gateway.catalog.sessions.categories import CountedCategory


def category_body(counted: CountedCategory) -> schemas.Category:
    """A category."""
    return schemas.Category(session_count=counted.session_count, **vars(counted.category))
