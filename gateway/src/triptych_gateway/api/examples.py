"""Examples of bodies, by the schema that they are of; a test holds each against it."""

from typing import Any, Final

_MODEL: Final = {
    "id": "open_clip/ViT-B-32/laion2b_s34b_b79k",
    "name": "ViT-B-32",
    "pack": "production",
    "device": "cuda:0",
    "notice": None,
}


def _phase(name: str, status: str, current: int, total: int, percentage: float, **more: Any) -> dict[str, Any]:
    stats = {
        "current": current,
        "total": total,
        "percentage": percentage,
        "etaSeconds": None,
        "imagesPerMinute": None,
        "unique": None,
        "skipped": 0,
    }
    return {
        "name": name,
        "status": status,
        "progress": stats | more.pop("progress", {}),
        "failed": 0,
        "error": None,
        "stats": {},
        "stage": None,
        "model": None,
        "run": 1,
        "elapsedSeconds": None,
        "startedAt": None,
        "completedAt": None,
        **more,
    }


_TRAINING: Final = _phase(
    "training",
    "completed",
    1000,
    1000,
    100.0,
    weight=0.3,
    stats={"imagesProcessed": 1000, "imagesEmbedded": 1000},
    model=_MODEL,
    elapsedSeconds=30.0,
    startedAt="2026-01-12T10:00:00.000Z",
    completedAt="2026-01-12T10:00:30.000Z",
)
_FACE_DETECTION: Final = _phase(
    "face_detection",
    "processing",
    500,
    1000,
    50.0,
    weight=0.65,
    progress={"etaSeconds": 62, "imagesPerMinute": 483.9},
    stats={"imagesProcessed": 500, "facesDetected": 352},
    elapsedSeconds=62.0,
    startedAt="2026-01-12T10:00:35.000Z",
)
_CLUSTERING: Final = _phase("clustering", "pending", 0, 0, 0.0, weight=0.05)
_CATEGORY: Final = {
    "id": 2,
    "name": "Holidays",
    "description": None,
    "color": "#2f6fde",
    "isDefault": False,
    "createdAt": "2026-01-10T08:00:00.000Z",
    "updatedAt": "2026-01-10T08:00:00.000Z",
}
_CONFIG: Final = {"recursive": True, "extensions": [".jpg", ".png"], "batchSize": 64, "weighting": None}
_SESSION: Final = {
    "id": 123,
    "name": "Holidays 2025",
    "status": "running",
    "rootPath": "/photos/2025/holidays",
    "categoryId": 2,
    "category": _CATEGORY,
    "config": _CONFIG,
    "totalImages": 1000,
    "processedImages": 640,
    "failedImages": 1,
    "skippedImages": 0,
    "createdAt": "2026-01-12T09:58:00.000Z",
    "startedAt": "2026-01-12T10:00:00.000Z",
    "completedAt": None,
    "pausedAt": None,
}
_CLEANUP: Final = {
    "operation": "restart_faces",
    "session_id": 123,
    "items_deleted": 0,
    "items_reset": 1000,
    "items_preserved": 0,
    "duration_ms": 12,
}
_FACE: Final = {
    "id": 9,
    "assetId": 40,
    "path": "/photos/2025/holidays/DSC_1040.JPG",
    "personId": 7,
    "groupId": 3,
    "box": {"x": 0.41, "y": 0.22, "width": 0.12, "height": 0.16},
    "score": 0.98,
    "probability": 0.93,
    "model": "insightface/buffalo_l",
    "imageUrl": "/api/v1/images/40/thumbnail",
    "cropUrl": "/api/v1/faces/9/crop",
}
_ASSET: Final = {
    "id": 40,
    "path": "/photos/2025/holidays/DSC_1040.JPG",
    "width": 4032,
    "height": 3024,
    "sizeBytes": 3481226,
    "takenAt": "2025-07-14T16:20:05",
    "missingAt": None,
    "faces": [_FACE],
}

_DIRECTORY: Final = {
    "path": "/photos/2024/05",
    "name": "05",
    "imageCount": 1000,
    "imageCountIsComplete": True,
    "selected": False,
    "ignored": False,
    "trainedCount": 400,
    "lastTrainedAt": "2026-01-12T10:00:30.000Z",
    "trainingStatus": "in_progress",
}
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "SessionCreate": {
        "name": "Holidays 2025",
        "rootPath": "/photos/2025/holidays",
        "categoryId": None,
        "subdirectories": ["beach", "mountains"],
        "config": {"recursive": True, "extensions": [".jpg", ".png"], "batchSize": 64},
    },
    "SessionChange": {"name": "Holidays by the sea", "config": {"recursive": False}},
    "Session": _SESSION,
    "CategoryCreate": {"name": "Holidays", "description": None, "color": "#2f6fde", "isDefault": False},
    "CategoryChange": {"name": "Journeys", "isDefault": True},
    "Category": {**_CATEGORY, "sessionCount": 4},
    "SessionAction": {"sessionId": 123, "status": "paused", "message": "The session is paused; nothing is lost."},
    "Restart": {
        "sessionId": 123,
        "status": "running",
        "message": "1000 photos are worked on again; until then the present results are shown.",
        "cleanupStats": _CLEANUP,
        "cleanup_stats": _CLEANUP,
    },
    "UnifiedProgress": {
        "sessionId": 123,
        "overallStatus": "running",
        "overallProgress": {
            "percentage": 62.5,
            "etaSeconds": 75,
            "etaLowSeconds": 61,
            "etaHighSeconds": 98,
            "etaConfidence": "medium",
            "currentPhase": "face_detection",
            "weighting": "fixed",
            "stall": None,
            "startedAt": "2026-01-12T10:00:00.000Z",
            "elapsedSeconds": 97.0,
        },
        "phases": {
            "training": _TRAINING,
            "faceDetection": _FACE_DETECTION,
            "clustering": _CLUSTERING,
            "face_detection": _FACE_DETECTION,
        },
        "revision": 1768212097000042,
        "updatedAt": "2026-01-12T10:01:37.000Z",
        "stale": False,
    },
    "LegacyProgress": {
        "sessionId": 123,
        "status": "running",
        "progress": _TRAINING["progress"],
        "jobsSummary": {"pending": 0, "running": 0, "completed": 998, "failed": 2, "cancelled": 0, "skipped": 0},
    },
    "Job": {
        "id": 1,
        "sessionId": 123,
        "assetId": 40,
        "status": "failed",
        "rqJobId": None,
        "progress": 100,
        "errorMessage": "The file ends in the middle of the picture.",
        "errorCode": "corrupt",
        "errorPhase": "training",
        "processingTimeMs": 12,
        "imagePath": "/photos/2025/holidays/DSC_1040.JPG",
        "skipReason": None,
        "createdAt": "2026-01-12T10:00:00.000Z",
        "startedAt": None,
        "completedAt": "2026-01-12T10:00:07.000Z",
    },
    "Group": {
        "id": 3,
        "faceCount": 41,
        "cohesion": 0.78,
        "personId": 7,
        "model": "insightface/buffalo_l",
        "sampleFaces": [_FACE],
    },
    "Face": _FACE,
    "FacePerson": {"personId": 7},
    "Person": {
        "id": 7,
        "name": "Ada",
        "status": "active",
        "faceCount": 41,
        "assetCount": 40,
        "coverFaceId": 9,
        "createdAt": "2026-01-12T10:02:00.000Z",
        "updatedAt": "2026-01-13T19:30:00.000Z",
    },
    "PersonChange": {"name": "Ada", "status": "active", "coverFaceId": 9},
    "PersonMerge": {"personIds": [8, 12]},
    "Asset": _ASSET,
    "SearchResults": {"model": _MODEL["id"], "items": [{"asset": _ASSET, "score": 0.31}]},
    "Directory": _DIRECTORY,
    "DirectoryScan": {"rootPath": "/photos/2024", "recursive": True, "extensions": [".jpg", ".heic"]},
    "DirectoryScanResult": {
        "rootPath": "/photos/2024",
        "subdirectories": [_DIRECTORY],
        "totalSubdirectories": 1,
        "totalImages": 1000,
        "isComplete": True,
    },
    "DirectoryPreview": {
        "directory": "/photos/2024/05",
        "imageCount": 1,
        "images": [
            {
                "filename": "IMG_0001.JPG",
                "fullPath": "/photos/2024/05/IMG_0001.JPG",
                "sizeBytes": 3145728,
                "modifiedAt": "2024-05-01T10:00:00.000Z",
            }
        ],
    },
    "DirectoryIgnore": {"path": "/photos/2024/screenshots", "reason": "No photos of people."},
    "DirectoryIgnored": {
        "status": "ignored",
        "path": "/photos/2024/screenshots",
        "ignoredAt": "2026-01-12T10:00:00.000Z",
    },
    "IgnoredDirectories": {
        "directories": [
            {
                "path": "/photos/2024/screenshots",
                "reason": "No photos of people.",
                "ignoredAt": "2026-01-12T10:00:00.000Z",
                "ignoredBy": None,
            }
        ]
    },
    "Subdirectory": {
        "id": 5,
        "sessionId": 123,
        "path": "/photos/2024/05",
        "name": "05",
        "selected": True,
        "imageCount": 1000,
        "trainedCount": 400,
        "status": "training",
        "createdAt": "2026-01-12T09:59:00.000Z",
    },
    "Health": {
        "status": "ok",
        "services": {
            "embedder": {
                "status": "ok",
                "model": _MODEL["id"],
                "device": "cuda:0",
                "pack": "production",
                "notice": None,
            },
            "progress": {"status": "ok", "model": None, "device": None, "pack": None, "notice": None},
        },
    },
}
