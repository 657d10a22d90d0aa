"""docs/errors.md: every code that Triptych answers with, from the code's own catalogues."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from triptych_common.error_reasons import REASONS, Explanation
from triptych_common.errors import EXIT_BAD_CONFIGURATION, EXIT_BROKEN
from triptych_common.media.failures import FAILURES
from triptych_gateway.api.errors import CATALOGUE
from triptych_gateway.pipeline.errors import PHASE_FAILURES, PROBLEMS

EXIT_STATUSES: Final[Mapping[str, Explanation]] = {
    "1": Explanation(
        "The command could not do it; one sentence on standard error says why.", "Do what the sentence says."
    ),
    "2": Explanation("The command line is not as described.", "Read what `--help` says."),
    str(EXIT_BROKEN): Explanation("A part of the process died.", "Start it again; its log has the details."),
    str(EXIT_BAD_CONFIGURATION): Explanation(
        "The process cannot start, or the command cannot work, as it is set up; a sentence says what is wrong.",
        "Change that setting: starting again cannot help.",
    ),
    "128 and more": Explanation("A signal ended it: 130 is Ctrl-C, 143 a request to stop.", "Nothing need be done."),
}
"""Of the commands and processes; what they say beside it is always a sentence, and never a trace."""


def errors_page() -> str:
    """The whole page."""
    rest = ((code, str(kind.status), kind.meaning, kind.remedy) for code, kind in CATALOGUE.items())
    return "\n".join(
        [
            "# Errors",
            "",
            "Written by `make docs`. Whatever fails tells a code, a sentence for a person, and often details; here is",
            "what each code means and what to do about it.",
            "",
            "## Of the REST interface",
            "",
            "`error.code` of an answer; `message` is the sentence.",
            "",
            *_table(("code", "status", "meaning", "what to do"), rest),
            "",
            "## Of photos",
            "",
            "`errorCode` of a photo in a session's list, and `reason` where a picture cannot be shown.",
            "",
            *_table(("code", "meaning", "what to do"), _rows(FAILURES)),
            "",
            "What is not read when a session is prepared has these codes too:",
            "",
            *_table(("code", "meaning", "what to do"), _rows(PROBLEMS)),
            "",
            "## Of sessions and phases",
            "",
            "`error.code` of a phase that failed.",
            "",
            *_table(("code", "meaning", "what to do"), _rows(PHASE_FAILURES)),
            "",
            "## Of services, over gRPC",
            "",
            "`reason` of `google.rpc.ErrorInfo`, and in logs.",
            "",
            *_table(("reason", "meaning", "what to do"), _rows(REASONS)),
            "",
            "## Of commands and processes",
            "",
            "Exit statuses; 0 is success.",
            "",
            *_table(("status", "meaning", "what to do"), _rows(EXIT_STATUSES)),
            "",
        ]
    )


def _rows(explained: Mapping[Any, Explanation]) -> Iterable[tuple[str, str, str]]:
    return ((code, explanation.meaning, explanation.remedy) for code, explanation in explained.items())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *((f"`{row[0]}`", *row[1:]) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
