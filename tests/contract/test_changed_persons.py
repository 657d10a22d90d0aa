"""Who a session's clustering changed, over REST: a page like others."""

import httpx

from tests.contract.test_sessions import PAGE_KEYS, refused
from tests.support.running_gateway import Gateway


def test_a_session_that_changed_nobody_has_an_empty_page(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)
    answer = client.get(f"/api/v1/training/sessions/{session_id}/changed-persons")
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == PAGE_KEYS
    assert (body["items"], body["total"], body["page"], body["hasMore"]) == ([], 0, 1, False)


def test_an_unknown_session_and_a_page_out_of_range_are_refused(client: httpx.Client, gateway: Gateway) -> None:
    session_id = gateway.create(client)
    refused(client.get(f"/api/v1/training/sessions/{2**62}/changed-persons"), 404, "not_found")
    url = f"/api/v1/training/sessions/{session_id}/changed-persons"
    for params in ({"page": 0}, {"page_size": 101}):
        refused(client.get(url, params=params), 422, "invalid_request")
