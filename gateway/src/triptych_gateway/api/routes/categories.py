"""Categories of sessions."""

from http import HTTPStatus

from fastapi import APIRouter

from triptych_gateway.api import schemas
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import errors
from triptych_gateway.api.parameters import Id, PageNumber, PageSize
from triptych_gateway.api.translation.categories import category_body
from triptych_gateway.catalog.sessions import categories

router = APIRouter(prefix="/api/v1/categories", tags=["categories"])


@router.get("")
async def list_categories(
    context: Context, page: PageNumber = 1, page_size: PageSize = 50
) -> schemas.Page[schemas.Category]:
    """Categories, the default one first and the others by name."""
    async with context.engine.connect() as connection:
        found, total = await categories.list_categories(connection, offset=(page - 1) * page_size, limit=page_size)
    return schemas.Page[schemas.Category].of(
        [category_body(category) for category in found], total=total, page=page, page_size=page_size
    )


@router.post("", status_code=HTTPStatus.CREATED, responses=errors("name_taken"))
async def create_category(body: schemas.CategoryCreate, context: Context) -> schemas.Category:
    """Create a category."""
    async with context.engine.begin() as connection:
        return category_body(await categories.create_category(connection, **body.model_dump(by_alias=False)))


@router.patch("/{category_id}", responses=errors("name_taken"))
async def change_category(category_id: Id, body: schemas.CategoryChange, context: Context) -> schemas.Category:
    """Change a category, or make it the default one."""
    async with context.engine.begin() as connection:
        return category_body(await categories.change_category(connection, category_id, body.changes()))


@router.delete("/{category_id}", status_code=HTTPStatus.NO_CONTENT)
async def delete_category(category_id: Id, context: Context) -> None:
    """Delete a category; its sessions are left without one."""
    async with context.engine.begin() as connection:
        await categories.delete_category(connection, category_id)
