"""What a clustering leaves for the next."""

from sqlalchemy import REAL, BigInteger, Column, DateTime, LargeBinary, PrimaryKeyConstraint, Table, Text, func

from triptych_gateway.catalog.schema.base import id_column, metadata, reference

# The graph of near neighbours of a model's faces that the last clustering left for the next. It is the clusterer's:
# what it means is told in clusterer.proto, and it holds under the version of the code and parameters that made it.
kept_graphs = Table(
    "kept_graphs",
    metadata,
    id_column(),
    Column("model_id", Text, nullable=False, unique=True),
    Column("version", Text, nullable=False),
    # Grows with each change, so that none is made to what is not there any more.
    Column("revision", BigInteger, nullable=False, server_default="1"),
    Column("face_count", BigInteger, nullable=False),
    Column("group_count", BigInteger, nullable=False),
    # New faces with which the next clustering is worth to be incremental.
    Column("most_new_faces", BigInteger, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# One row per face, so that a clustering writes what it changed. Faces that are gone leave with the next clustering: a
# reference would have each row checked, and each of their deletions look here.
kept_faces = Table(
    "kept_faces",
    metadata,
    reference("kept_graphs.id", name="graph_id"),
    Column("face_id", BigInteger, nullable=False),
    # Little-endian int64 and float32 numbers, nearest first.
    Column("neighbour_ids", LargeBinary, nullable=False),
    Column("distances", LargeBinary, nullable=False),
    Column("component", BigInteger, nullable=False),
    Column("component_mark", BigInteger, nullable=False),
    # The smallest id of a face in its group before groups were merged, or -1.
    Column("dense_group", BigInteger, nullable=False),
    Column("probability", REAL, nullable=False),
    PrimaryKeyConstraint("graph_id", "face_id"),
)

# The same of groups before they were merged, by their marks.
kept_groups = Table(
    "kept_groups",
    metadata,
    reference("kept_graphs.id", name="graph_id"),
    Column("mark", BigInteger, nullable=False),
    Column("neighbour_marks", LargeBinary, nullable=False),
    Column("distances", LargeBinary, nullable=False),
    PrimaryKeyConstraint("graph_id", "mark"),
)
