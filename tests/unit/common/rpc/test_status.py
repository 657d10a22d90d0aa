"""What a failed call tells its caller."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from triptych_common.rpc.status import read_error


@pytest.mark.parametrize(
    ("details", "code"),
    [("Internal error from Core", grpc.StatusCode.UNAVAILABLE), ("A defect.", grpc.StatusCode.INTERNAL)],
)
def test_a_connection_that_broke_here_is_no_defect_of_the_service(details: str, code: grpc.StatusCode) -> None:
    failure = AioRpcError(grpc.StatusCode.INTERNAL, Metadata(), Metadata(), details=details)

    assert read_error(failure).code is code
