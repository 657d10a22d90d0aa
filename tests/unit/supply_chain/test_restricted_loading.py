"""Nothing that a file holds is run by reading it: pickles, checkpoints, arrays are loaded in restricted form only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TREES = ("common", "services", "gateway", "tools", "benchmarks", "deploy", "tests")
NEVER = {
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "joblib.load",
    "cloudpickle.load",
    "cloudpickle.loads",
    "dill.load",
    "dill.loads",
    "pandas.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
}
RULES = ("S301", "S302", "S506", "S614")
"""Ruff's for the same; nothing may be excepted from them."""


def unrestricted(source: str) -> Iterator[str]:
    """What a module loads so that the file could run code."""
    for line in source.splitlines():
        if "noqa" in line and any(rule in line.partition("noqa")[2] for rule in RULES):
            yield f"excepted: {line.strip()}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in {name.partition(".")[0] for name in NEVER}:
            yield from (f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in NEVER)
        elif isinstance(node, ast.Call):
            called, keywords = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in NEVER or (called == "torch.load" and keywords.get("weights_only") != "True"):
                yield called
            if keywords.get("allow_pickle", "False") != "False":
                yield f"{called} allows pickles"
        elif isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(ast.unparse, node.bases):
            names = {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
            if "find_class" not in names:
                yield f"{node.name} makes whatever class a pickle names"


def test_nothing_in_the_tree_is_loaded_without_restriction() -> None:
    sources = [path for tree in TREES for path in (ROOT / tree).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): list(unrestricted(path.read_text())) for path in sources}

    assert len(sources) > 300
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import pickle\npickle.loads(b'')", "pickle.loads"),
        ("import pickle\npickle.Unpickler(file)", "pickle.Unpickler"),
        ("from pickle import load", "pickle.load"),
        ("class Ours(pickle.Unpickler):\n    pass", "Ours makes whatever class a pickle names"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "torch.load"),
        ("np.load(path, allow_pickle=True)", "np.load allows pickles"),
        ("np.load(path, allow_pickle=wanted)", "np.load allows pickles"),
        ("yaml.load(text)", "yaml.load"),
        ("x = 1  # no" + "qa: S301", "excepted: x = 1  # no" + "qa: S301"),
    ],
)
def test_what_would_run_code_is_found(source: str, complaint: str) -> None:
    assert list(unrestricted(source)) == [complaint]


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "class Ours(pickle.Unpickler):\n    def find_class(self, module, name): ...",
        "pickle.dumps(1)",
        "yaml.safe_load(text)",
    ],
)
def test_what_runs_nothing_is_passed(source: str) -> None:
    assert list(unrestricted(source)) == []
