"""Room for large arrays: in memory, or in files without a name that the kernel may write out and that end with us."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.aligned import aligned_empty


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where the vectors of one call lie.

    Attributes:
        directory: of the files, on a disk; None for the system's temporary directory.
        mapped_above_bytes: arrays larger than this are memory-mapped files; None for none.
    """

    directory: Path | None = None
    mapped_above_bytes: int | None = None

    def is_mapped(self, size_bytes: int) -> bool:
        """Whether an array of this size would be a file."""
        return self.mapped_above_bytes is not None and size_bytes > self.mapped_above_bytes

    def array(self, rows: int, columns: int) -> NDArray[np.float32]:
        """Room for float32 [rows, columns], its content undefined.

        A file has no name from the beginning, so nothing is left behind, however the process ends; and its blocks are
        taken now, as a full disk would otherwise kill the process at some later write.

        Raises:
            OSError: if the disk has no room, or the directory cannot be written.
        """
        size_bytes = 4 * rows * columns
        if not self.is_mapped(size_bytes):
            return aligned_empty(rows, columns)
        with tempfile.TemporaryFile(dir=self.directory, prefix="triptych-cluster-") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
            return np.memmap(file, np.float32, "r+", shape=(rows, columns))


IN_MEMORY = Workspace()
"""Nothing is mapped."""
