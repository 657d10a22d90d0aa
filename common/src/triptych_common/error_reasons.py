"""What the reasons of errors mean that services answer with over gRPC, and what to do about each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Explanation:
    """What a code means, in a sentence, and what whoever meets it is to do, in another."""

    meaning: str
    remedy: str


_OF_THE_CALLER: Final = "A defect of who calls the service: Triptych's gateway never asks so. Mend the caller."
_OTHER_VERSIONS: Final = (
    "Run one version of Triptych everywhere; within one it is a defect, and the log has the details."
)

REASONS: Final[Mapping[str, Explanation]] = {
    # Every service that computes
    "NO_ITEMS": Explanation("The request holds no photos.", _OF_THE_CALLER),
    "TOO_MANY_ITEMS": Explanation("The request holds more photos than one may.", "Send them in several requests."),
    "DUPLICATE_ITEM": Explanation("Two photos of a request have one id.", _OF_THE_CALLER),
    "NO_SOURCE": Explanation("A photo has neither a URI nor content.", _OF_THE_CALLER),
    "CONTENT_TOO_LARGE": Explanation(
        "The bytes of a photo are more than a message may hold.",
        "Send its URI in place of its bytes, or a smaller one.",
    ),
    "BAD_WORK": Explanation("The request says something impossible of the work that it is a part of.", _OTHER_VERSIONS),
    "MODEL_MISMATCH": Explanation(
        "The replica runs another model than the request is for.",
        "Give all replicas of a service one model; then restart the phase, or go back to the model that it began with.",
    ),
    "MODEL_LOADING": Explanation("The model is being loaded.", "Wait: the gateway asks again by itself."),
    "MODEL_LOADING_FAILED": Explanation(
        "The model could not be loaded.", "Read the service's log; `triptych models verify` reads the weights."
    ),
    "QUEUE_FULL": Explanation(
        "The service has as many requests as it takes.", "Wait: the gateway sends less. More replicas take more."
    ),
    "MEMORY_CEILING": Explanation(
        "The memory that the process may have is in use.",
        "Wait: the gateway sends less. Where it goes on, raise the ceiling or lower TRIPTYCH_DECODED_BYTES.",
    ),
    "NO_DECODER": Explanation(
        "No process that decodes photos can be started.",
        "See to the machine's memory and its limit on processes; the log has the details, and work goes on by itself.",
    ),
    "STORE_AWAY": Explanation(
        "The store that the photos lie in does not answer.",
        "Wait, or see to the store: its address, keys and network; work goes on by itself.",
    ),
    # The embedder
    "NO_TEXT_TOWER": Explanation("The model cannot read text.", "Search by a photo, or choose a CLIP model."),
    "BAD_TEXT_COUNT": Explanation("The request holds no texts, or more than one may.", _OF_THE_CALLER),
    "TEXT_TOO_LONG": Explanation("A text is longer than a search may be.", "Search for something shorter."),
    # The clusterer
    "NO_HEADER": Explanation("The first message of a grouping is not its header.", _OF_THE_CALLER),
    "BAD_DIMENSION": Explanation("The faces' vectors have an impossible number of numbers.", _OF_THE_CALLER),
    "TOO_MANY_FACES": Explanation(
        "There are more faces than this clusterer takes.", "Raise TRIPTYCH_MAX_FACES, and give it the memory for them."
    ),
    "BAD_BATCH": Explanation("A message of faces contradicts itself or the header.", _OTHER_VERSIONS),
    "FACE_COUNT_MISMATCH": Explanation("Other than the announced number of faces came.", _OTHER_VERSIONS),
    "DUPLICATE_FACE": Explanation("Two faces have one id.", _OTHER_VERSIONS),
    "BAD_FACES": Explanation(
        "The faces cannot be grouped: a vector is no vector, say.", "Restart face detection: it makes them anew."
    ),
    "BAD_KEPT": Explanation(
        "What the last grouping kept cannot be read.", "Restart clustering: it groups all faces anew."
    ),
    "UNKNOWN_FACE_MODEL": Explanation(
        "It is not known how faces of this model are compared.",
        "Update the clusterer, or choose a model that it knows.",
    ),
    "STREAM_STALLED": Explanation(
        "No faces came for too long.", "See to the network; the gateway tries again by itself."
    ),
    "MEMORY_TOO_SMALL": Explanation(
        "Grouping so many faces takes more memory than the clusterer may have.",
        "Give it more memory; the message says how much.",
    ),
    "DISK_FULL": Explanation(
        "The clusterer's disk is full.", "Free some of it, or name another in TRIPTYCH_SPILL_DIRECTORY."
    ),
    # The progress service
    "STARTING": Explanation("The replica has not read all events yet.", "Wait: others answer meanwhile."),
    "STOPPING": Explanation("The replica is stopping.", "Ask another: the gateway does so by itself."),
    "NATS_AWAY": Explanation("NATS does not answer.", "See to NATS; what it missed is told again by itself."),
    "TOO_MANY_SESSIONS": Explanation("More sessions are named than may be.", "Name fewer, or none for all."),
    "UNKNOWN_SESSION": Explanation(
        "No progress of this session is known.", "Name another; one that was made just now is known in a moment."
    ),
    # The gateway, of services
    "NO_REPLICA": Explanation(
        "No replica of the service is known.", "Start one, and see that TRIPTYCH_…_ADDRESSES names it."
    ),
    "NO_ANSWER": Explanation(
        "The service ended a call without an answer.", "Try again; the service's log has the details."
    ),
    "SERVICE_AWAY": Explanation("The service does not answer.", "See that it runs and can be reached, and try again."),
    "SILENCE": Explanation(
        "A worker said nothing for so long that its call was given up.",
        "The work is tried again elsewhere; where it repeats, the worker's log says what it hangs at.",
    ),
}
"""Every reason that a service answers with (``reason`` of ``google.rpc.ErrorInfo``) or the gateway finds of one."""
