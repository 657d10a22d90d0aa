"""Large arrays are files that nobody sees and that are gone with them."""

from pathlib import Path

import numpy as np
import pytest

from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.parameters import parameters_for
from triptych_cluster.workspace import Workspace


def test_small_arrays_are_memory_and_large_ones_are_files_without_a_name(tmp_path: Path) -> None:
    workspace = Workspace(directory=tmp_path, mapped_above_bytes=400)
    small, large = workspace.array(10, 10), workspace.array(10, 11)
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    large[:] = 3
    assert large.shape == (10, 11)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Workspace(directory=tmp_path / "missing", mapped_above_bytes=0).array(1, 1)


@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_groups_do_not_depend_on_where_the_vectors_lie(tmp_path: Path, search: str) -> None:
    random = np.random.default_rng(0)
    people = np.repeat(random.standard_normal((150, 32)), 8, axis=0)
    rows = (people + 0.2 * random.standard_normal(people.shape)).astype(np.float32)
    workspace = Workspace(directory=tmp_path, mapped_above_bytes=0)
    mapped = workspace.array(*rows.shape)
    mapped[:] = rows
    ones, parameters = np.ones(1200, np.float32), parameters_for("arcface-r50")
    in_memory = cluster_faces(
        Faces(embeddings=rows, photo_ids=np.arange(1200), scores=ones),
        parameters,
        search=search,  # type: ignore[arg-type]
    )
    from_files = cluster_faces(
        Faces(embeddings=mapped, photo_ids=np.arange(1200), scores=ones),
        parameters,
        search=search,  # type: ignore[arg-type]
        workspace=workspace,
    )
    assert (in_memory.labels == from_files.labels).all()
    assert len(in_memory.cohesions) == 150
