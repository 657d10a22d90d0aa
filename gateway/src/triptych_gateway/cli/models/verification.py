"""Weights read whole, and the verdict on each."""

from pathlib import Path
from typing import Final

from triptych_common.model_store import read_manifest
from triptych_common.model_store.listening import Listener
from triptych_common.model_store.state import Finding, State, is_export, unpinned, verify, verify_unpinned
from triptych_gateway.cli.models.selection import pinned_entries, stored_to_name
from triptych_gateway.cli.terminal.text import printable

_SIGNS: Final = {State.WHOLE: "✓", State.UNPINNED: "?"}
_BAD_SIGN: Final = "✗"


def verified(names: list[str], models_dir: Path, listener: Listener) -> list[Finding]:
    """What is true of the named weights, or, without names, of all that are there. Raises StackError for no name."""
    others = list(unpinned(read_manifest(), models_dir))
    if not names:
        findings = [verify(entry, models_dir, listener) for entry in read_manifest().entries]
        return [finding for finding in findings if finding.state is not State.ABSENT] + [
            verify_unpinned(name, models_dir, listener) for name in others
        ]
    pinned_names = [name for name in names if name not in others]
    findings = [verify(entry, models_dir, listener) for entry in (pinned_entries(pinned_names) if pinned_names else [])]
    return findings + [verify_unpinned(name, models_dir, listener) for name in others if name in names]


def is_good(finding: Finding) -> bool:
    """Whether nothing is to be done."""
    return finding.state in _SIGNS


def verdict(finding: Finding) -> str:
    """Lines for a person: the state, what is wrong, and the command that helps."""
    lines = [f"{_SIGNS.get(finding.state, _BAD_SIGN)} {printable(finding.name)}: {finding.state}"]
    lines += [f"    {printable(problem)}" for problem in finding.problems]
    if not is_good(finding):
        command = f"fetch {finding.name}"
        if is_export(finding.name):
            command = f"export {stored_to_name(finding.name.partition('/')[2])} --force"
        lines.append(f"    → triptych models {printable(command)}")
    return "\n".join(lines)
