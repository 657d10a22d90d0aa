"""Generated requests, each answer held against the OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.generated_cases.findings import SERVER_ERROR, Findings
from tests.contract.generated_cases.seeded_stack import Seeded
from tests.contract.generated_cases.streams import is_stream
from triptych_gateway.api.errors import CODES_KEY

SEED: Final = 7
KNOWN_SHARE: Final = 0.8
"""How many values of well-formed requests become such as lead somewhere."""
TIMEOUT_SECONDS: Final = 30
_CHECKS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_ORDER: Final = ("GET", "PATCH", "POST", "PUT", "DELETE")
"""What takes nothing away comes first."""
POSITIVE: Final = schemathesis.GenerationMode.POSITIVE
NEGATIVE: Final = schemathesis.GenerationMode.NEGATIVE
_MODES: Final = {POSITIVE: 0.6, NEGATIVE: 0.4}
"""Well-formed requests and others, and the share of each."""


def ask_all(seeded: Seeded, document: dict[str, Any], findings: Findings, *, cases_per_operation: int) -> None:
    """Generate that many requests for each operation that is not a stream."""
    schema = schemathesis.openapi.from_dict(document)
    found = []
    for result in schema.get_all_operations():
        if isinstance(result, Err):
            raise result.err()
        found.append(result.ok())
    for operation in sorted(found, key=lambda one: (_ORDER.index(one.method.upper()), one.path)):
        described = operation.definition.raw
        if is_stream(described):
            continue
        seeded.learn()
        for mode, share in _MODES.items():
            # What takes nothing cannot be asked wrongly.
            if mode == NEGATIVE and not (described.get("parameters") or "requestBody" in described):
                continue
            _ask(seeded, operation, mode, findings, cases=round(cases_per_operation * share))


def _ask(seeded: Seeded, operation: Any, mode: Any, findings: Findings, *, cases: int) -> None:
    name = f"{operation.method.upper()} {operation.path}"
    known = seeded.known | seeded.known_of.get(name, {})

    @seed(SEED)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), choice=st.randoms(use_true_random=False))
    def ask(case: Any, choice: Any) -> None:
        if mode == POSITIVE:
            case.path_parameters = _led(case.path_parameters, known, choice)
            case.query = _led(case.query, known, choice)
            case.body = _led(case.body, known, choice)
        answer = case.call(base_url=seeded.url, headers=seeded.credential, timeout=TIMEOUT_SECONDS)
        findings.answered(name, answer.status_code)
        _judge(case, answer, name, findings, mode)

    ask()


def _judge(case: Any, answer: Any, name: str, findings: Findings, mode: Any) -> None:
    try:
        case.validate_response(answer, checks=[not_a_server_error])
    except FailureGroup:
        findings.is_wrong(name, SERVER_ERROR, _told(case, answer))
    for check in (*_CHECKS, negative_data_rejection) if mode == NEGATIVE else _CHECKS:
        try:
            case.validate_response(answer, checks=[check])
        except FailureGroup as group:
            for failure in group.exceptions:
                findings.is_wrong(name, check.__name__, f"{failure}\n{_told(case, answer)}")
    if answer.status_code >= 400:
        described = case.operation.definition.raw["responses"].get(str(answer.status_code), {})
        code = answer.json().get("error", {}).get("code")
        if code not in described.get(CODES_KEY, ()):
            findings.is_wrong(name, f"error {code} is not declared", _told(case, answer))


def _told(case: Any, answer: Any) -> str:
    return f"{case.as_curl_command()[:1000]}\n{answer.status_code} {answer.content[:1000].decode(errors='replace')}"


def _led(values: Any, known: dict[str, list[Any]], choice: Any) -> Any:
    """The values with most of those that name something made to name what is there."""
    if isinstance(values, list):
        return [_led(one, known, choice) for one in values]
    if not isinstance(values, dict):
        return values
    return dict(_led_items(values, known, choice))


def _led_items(values: dict[str, Any], known: dict[str, list[Any]], choice: Any) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", key)
        if known.get(name) and value is not None and choice.random() < KNOWN_SHARE:
            chosen = choice.choice(known[name])
            yield key, [chosen] if isinstance(value, list) else chosen
        else:
            yield key, _led(value, known, choice)
