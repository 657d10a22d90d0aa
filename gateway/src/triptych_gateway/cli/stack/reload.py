"""Watches the Python files of the services and says which services a change concerns."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import watchfiles

from triptych_gateway.cli.stack.services import GATEWAY, GRPC_SERVICES

_SHARED_PACKAGES = ("triptych_common", "triptych")


async def changed_services(stop: asyncio.Event) -> AsyncIterator[frozenset[str]]:
    """The services to restart, once for each burst of changes, until `stop` is set."""
    sources = service_sources()
    async for changes in watchfiles.awatch(*sources, watch_filter=watchfiles.PythonFilter(), stop_event=stop):
        concerned = concerned_services((Path(path) for _, path in changes), sources)
        if concerned:
            yield concerned


def concerned_services(changed: Iterable[Path], sources: dict[Path, frozenset[str]]) -> frozenset[str]:
    """The services to which any of `changed` matters; the command line's own files matter to none."""
    concerned: frozenset[str] = frozenset()
    for path in changed:
        for source, services in sources.items():
            if path.is_relative_to(source) and not path.is_relative_to(source / "cli"):
                concerned |= services
    return concerned


def service_sources() -> dict[Path, frozenset[str]]:
    """The directory of each installed package and the services that it concerns; nothing is imported."""
    everyone = frozenset((*GRPC_SERVICES, GATEWAY))
    packages = {f"triptych_{name}": frozenset({name}) for name in everyone} | dict.fromkeys(_SHARED_PACKAGES, everyone)
    sources: dict[Path, frozenset[str]] = {}
    for package, services in packages.items():
        found = importlib.util.find_spec(package)
        for location in (found.submodule_search_locations or ()) if found is not None else ():
            sources[Path(location).resolve()] = services
    return sources
