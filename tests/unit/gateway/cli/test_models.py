"""`triptych models` as it is typed, over a small manifest and a real server."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner, Result

from tests.support.file_server import FileServer, file_server
from tests.support.model_entries import archive_of, content, manifest_text, packed_entry, plain_entry
from tests.support.real_servers import wait_for
from triptych_common.model_store import read_manifest
from triptych_gateway.cli.app import app
from triptych_gateway.cli.models.choice import chosen_models, models_by_service, same_space
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError

CLIP = "open_clip/Small__tag"
FACES = "insightface/pack"
WEIGHTS = content(200_000)
MEMBERS = {"detector.onnx": content(5000, 1), "recogniser.onnx": content(30_000, 2)}
ARCHIVE = archive_of(MEMBERS)
DEADLINE_SECONDS = 30.0
PROGRAM = """
import sys
from importlib import import_module
from pathlib import Path
import_module("triptych_common.model_store.manifest").MANIFEST = Path(sys.argv.pop(1))
from triptych_gateway.cli.app import main
main()
"""


@pytest.fixture
def manifest_file(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.toml"
    entries = [
        plain_entry(CLIP, WEIGHTS),
        packed_entry(FACES, ARCHIVE, MEMBERS, non_commercial=True),
        plain_entry("insightface/other", b"other", file="other.onnx", non_commercial=True),
    ]
    path.write_text(manifest_text(entries, production={"embedder": CLIP, "facedetect": FACES}))
    return path


@pytest.fixture
def server(manifest_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(import_module("triptych_common.model_store.manifest"), "MANIFEST", manifest_file)
    monkeypatch.setattr(
        import_module("triptych_gateway.cli.models.readiness").importlib.util, "find_spec", lambda _: True
    )
    for name in ("TRIPTYCH_MODEL", "TRIPTYCH_EMBEDDER_MODEL", "TRIPTYCH_FACEDETECT_MODEL", "TRIPTYCH_MODELS_DIR"):
        monkeypatch.delenv(name, raising=False)
    read_manifest.cache_clear()
    with file_server() as served:
        served.files |= {f"/{CLIP}/weights.bin": WEIGHTS, f"/{FACES}/pack.zip": ARCHIVE}
        monkeypatch.setenv("TRIPTYCH_MODELS_MIRROR", served.url)
        monkeypatch.setenv("TRIPTYCH_DATA_DIR", str(tmp_path / "data"))
        yield served
    read_manifest.cache_clear()


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "120"})


def sentence(result: Result) -> str:
    """What `main` would say."""
    assert isinstance(result.exception, StackError), result.output
    return str(result.exception)


def listed() -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(invoke("list", "--json").stdout)
    return answer


def states() -> dict[str, str]:
    return {model["name"]: model["state"] for model in listed()["models"]}


def test_production_is_fetched_once_the_licence_is_accepted(server: FileServer, tmp_path: Path) -> None:
    refused = invoke("fetch", "production")
    assert "accept it with --accept-licence" in sentence(refused)
    # Not even what needs no acceptance: the question comes before the download.
    assert server.requests == []
    assert states() == {CLIP: "absent", FACES: "absent", "insightface/other": "absent"}
    fetched = invoke("fetch", "production", "--accept-licence")
    assert fetched.exit_code == 0
    assert fetched.stdout.splitlines() == [f"{CLIP}: fetched", f"{FACES}: fetched"]
    assert states() == {CLIP: "whole", FACES: "whole", "insightface/other": "absent"}
    assert stat.S_IMODE((tmp_path / "data" / "run").stat().st_mode) == 0o700
    again = invoke("fetch", "production")
    assert again.stdout.splitlines() == [f"{CLIP}: here already, and whole", f"{FACES}: here already, and whole"]


def test_progress_is_readable_in_a_file(server: FileServer) -> None:
    result = invoke("fetch", "open_clip:Small/tag")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines[-1] == "fetching weights.bin: 100 % of 0.2 MB"
    assert all("\x1b" not in line for line in lines)
    assert len(lines) <= 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["fetch"], "Name what to fetch: `triptych models fetch production`"),
        (["fetch", "insightface/none"], "'insightface/none' cannot be fetched: these can: production, open_clip/"),
        (["verify", "nothing"], "'nothing' cannot be fetched"),
    ],
)
def test_a_wrong_name_is_one_sentence(server: FileServer, arguments: list[str], problem: str) -> None:
    assert problem in sentence(invoke(*arguments))


def test_files_may_come_from_a_directory(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "weights.bin").write_bytes(WEIGHTS)
    assert invoke("fetch", CLIP, "--from", str(tmp_path / "usb")).exit_code == 0
    assert server.requests == []
    assert states()[CLIP] == "whole"
    missing = invoke("fetch", FACES, "--accept-licence", "--from", str(tmp_path / "usb"))
    assert f"does not hold {FACES}/pack.zip" in sentence(missing)
    nowhere = invoke("fetch", CLIP, "--from", str(tmp_path / "nowhere"))
    assert nowhere.exit_code == 2


def test_verify_reads_everything_and_names_the_remedy(server: FileServer, tmp_path: Path) -> None:
    models_dir = tmp_path / "data" / "models"
    nothing = invoke("verify")
    assert (nothing.exit_code, nothing.stdout.strip()) == (0, f"There are no weights in {models_dir}")
    invoke("fetch", "production", "--accept-licence")
    assert invoke("verify").exit_code == 0
    damaged = models_dir / FACES / "detector.onnx"
    damaged.write_bytes(content(5000, 9))
    # The size is right: a list does not see it, and reading does.
    assert states()[FACES] == "whole"
    result = invoke("verify")
    assert result.exit_code == 1
    assert f"✓ {CLIP}: whole" in result.stdout
    assert f"✗ {FACES}: damaged" in result.stdout
    assert f"→ triptych models fetch {FACES}" in result.stdout
    report = json.loads(invoke("verify", FACES, "--json").stdout.splitlines()[-1])
    assert [model["state"] for model in report["models"]] == ["damaged"]
    assert "its SHA-256 differs" in report["models"][0]["problems"][0]
    assert invoke("fetch", FACES, "--accept-licence").exit_code == 0
    assert invoke("verify", FACES).exit_code == 0
    absent = invoke("verify", "insightface/other")
    assert absent.exit_code == 1
    assert "✗ insightface/other: absent" in absent.stdout


def test_list_tells_what_is_used_and_what_is_half_here(server: FileServer, tmp_path: Path) -> None:
    workshop = tmp_path / "data" / "models" / ".fetching" / CLIP.replace("/", "__")
    workshop.mkdir(parents=True)
    (workshop / "weights.bin.part").write_bytes(WEIGHTS[:150_000])
    (tmp_path / "data" / "models" / "open_clip" / "Mine__x").mkdir(parents=True)
    shown = invoke("list")
    assert "partial, 0.1 MB" in shown.stdout
    assert "unpinned" in shown.stdout
    assert "embedder: bundled, by default; it comes with the installation, and is not CLIP" in shown.stdout
    models = {model["name"]: model for model in listed()["models"]}
    assert models[CLIP]["present_bytes"] == 150_000
    assert models[CLIP]["download_bytes"] == models[CLIP]["size_bytes"] == 200_000
    assert models[FACES]["licence"]["non_commercial"] is True
    assert models["open_clip/Mine__x"] | {"size_bytes": 0} == {
        "name": "open_clip/Mine__x",
        "service": "embedder",
        "model": "open_clip:Mine/x",
        "state": "unpinned",
        "problems": [],
        "size_bytes": 0,
        "present_bytes": 0,
        "download_bytes": None,
        "licence": None,
        "purpose": "put here by somebody",
        "in_use": False,
    }


def test_use_refuses_what_is_not_here_and_remembers_what_is(server: FileServer) -> None:
    refused = sentence(invoke("use", "production"))
    assert f"run `triptych models fetch {CLIP}`" in refused
    assert f"run `triptych models fetch {FACES}`" in refused
    assert listed()["chosen"]["embedder"] == {"model": "bundled", "by": "default"}
    invoke("fetch", "production", "--accept-licence")
    used = invoke("use", "production")
    assert used.exit_code == 0
    assert used.stdout.splitlines() == [
        "embedder: production, chosen by `triptych models use`",
        "facedetect: production, chosen by `triptych models use`",
    ]
    assert "Another model has a space of its own" in used.stderr
    assert "triptych restart ID training --all" in used.stderr
    assert [model["name"] for model in listed()["models"] if model["in_use"]] == [CLIP, FACES]
    again = invoke("use", "production")
    assert "Another model" not in again.stderr
    one = invoke("use", "facedetect=bundled")
    assert one.stdout.splitlines()[1] == "facedetect: bundled, chosen by `triptych models use`"
    assert listed()["chosen"]["embedder"]["model"] == "production"


def test_damaged_weights_are_not_chosen(server: FileServer, tmp_path: Path) -> None:
    invoke("fetch", "production", "--accept-licence")
    (tmp_path / "data" / "models" / CLIP / "weights.bin").write_bytes(content(200_000, 9))
    assert "has other content than it should" in sentence(invoke("use", "production"))


def test_an_export_stands_for_production_where_there_is_one(server: FileServer, tmp_path: Path) -> None:
    invoke("fetch", FACES, "--accept-licence")
    export = tmp_path / "data" / "models" / "onnx" / "Small__tag"
    export.mkdir(parents=True)
    network = content(1000, 4)
    (export / "image.onnx").write_bytes(network)
    entry = plain_entry("onnx/Small__tag", network)
    files = {"image.onnx": {"sha256": entry.files[0].sha256, "sizeBytes": 1000}}
    (export / "model.json").write_text(json.dumps({"files": files}))
    # Without its checkpoint: an export needs no other file.
    assert invoke("use", "production").exit_code == 0
    assert [model["name"] for model in listed()["models"] if model["in_use"]] == [FACES, "onnx/Small__tag"]
    assert invoke("verify", "onnx/Small__tag").exit_code == 0
    (export / "image.onnx").write_bytes(network[:-1])
    assert "→ triptych models export Small/tag --force" in invoke("verify", "onnx/Small__tag").stdout
    assert "run `triptych models export Small/tag`" in sentence(invoke("use", "production"))
    (export / "model.json").write_text("[]")
    assert "does not describe an export" in sentence(invoke("use", "onnx:Small/tag"))


def test_a_model_that_needs_a_package_names_it(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("fetch", "production", "--accept-licence")
    monkeypatch.setattr(
        import_module("triptych_gateway.cli.models.readiness").importlib.util, "find_spec", lambda _: None
    )
    refused = sentence(invoke("use", "open_clip:Small/tag"))
    assert refused == ("open_clip:Small/tag needs the package open_clip: run `pip install 'triptych-embedder[clip]'`.")


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["bundled"], {"embedder": "bundled", "facedetect": "bundled"}),
        (
            [
                "production",
            ],
            {"embedder": "production", "facedetect": "production"},
        ),
        (["onnx:A/b", "insightface:antelopev2"], {"embedder": "onnx:A/b", "facedetect": "insightface:antelopev2"}),
        (["open_clip:local-dir:/x=y"], {"embedder": "open_clip:local-dir:/x=y"}),
        (["facedetect=bundled"], {"facedetect": "bundled"}),
    ],
)
def test_a_word_means_the_services_that_know_it(words: list[str], chosen: dict[str, str]) -> None:
    assert models_by_service(words) == chosen


@pytest.mark.parametrize(
    "words", [["clip"], ["embedder=insightface:buffalo_l"], ["bundled", "onnx:A/b"], ["cluster=bundled"], [""]]
)
def test_a_word_that_no_service_knows_is_a_usage_error(server: FileServer, words: list[str]) -> None:
    result = invoke("use", *words)
    assert result.exit_code == 2
    with pytest.raises(ValueError, match=r"name one|does not know"):
        models_by_service(words)


@pytest.mark.parametrize(
    ("environment", "embedder", "facedetect"),
    [
        ({}, ("production", "triptych models use"), ("bundled", "default")),
        ({"TRIPTYCH_MODEL": "bundled"}, ("bundled", "TRIPTYCH_MODEL"), ("bundled", "TRIPTYCH_MODEL")),
        ({"TRIPTYCH_MODEL": ""}, ("production", "triptych models use"), ("bundled", "default")),
        (
            {"TRIPTYCH_MODEL": "production", "TRIPTYCH_EMBEDDER_MODEL": "onnx:A/b"},
            ("onnx:A/b", "TRIPTYCH_EMBEDDER_MODEL"),
            ("production", "TRIPTYCH_MODEL"),
        ),
        (
            {"TRIPTYCH_FACEDETECT_MODEL": "insightface:x"},
            ("production", "triptych models use"),
            ("insightface:x", "TRIPTYCH_FACEDETECT_MODEL"),
        ),
    ],
)
def test_the_nearest_word_wins(
    tmp_path: Path, environment: dict[str, str], embedder: tuple[str, str], facedetect: tuple[str, str]
) -> None:
    data = DataDirectory(root=tmp_path)
    data.chosen_models.write_text('{"embedder": "production"}')
    choices = chosen_models(data, environment)
    assert (choices["embedder"].model, choices["embedder"].by) == embedder
    assert (choices["facedetect"].model, choices["facedetect"].by) == facedetect


@pytest.mark.parametrize(
    ("model", "other", "same"),
    [
        ("open_clip:A/b", "onnx:A/b", True),
        ("production", "onnx:ViT-B-32/laion2b_s34b_b79k", True),
        ("production", "open_clip:ViT-B-32/laion2b_s34b_b79k", True),
        ("bundled", "production", False),
        ("open_clip:A/b", "open_clip:A/c", False),
    ],
)
def test_an_export_has_the_space_of_its_weights(model: str, other: str, *, same: bool) -> None:
    assert same_space("embedder", model, other) is same_space("embedder", other, model) is same


def test_a_variable_that_wins_is_told(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_EMBEDDER_MODEL", "onnx:A/b")
    told = invoke("use", "bundled").stderr
    assert "TRIPTYCH_EMBEDDER_MODEL is set here, and for the embedder it wins over this choice." in told


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "1"])
def test_a_damaged_choice_is_one_sentence_and_can_be_made_again(server: FileServer, tmp_path: Path, text: str) -> None:
    data = DataDirectory(root=tmp_path / "data")
    data.create()
    data.chosen_models.write_text(text)
    with pytest.raises(StackError, match=r"models\.json is damaged: run `triptych models use bundled`"):
        chosen_models(data, {})
    assert invoke("use", "bundled").exit_code == 0
    assert chosen_models(data, {})["embedder"].model == "bundled"


def test_export_runs_the_embedders_script_and_gives_its_status(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "bin" / "triptych-embedder-models"
    script.parent.mkdir()
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    assert "Not installed beside" in sentence(invoke("export", "Small/tag"))
    script.write_text('#!/bin/sh\necho "$@"\nexit 78\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    script.with_name("python").symlink_to(os.path.realpath("/proc/self/exe"))
    for name in ("Small/tag", "open_clip:Small/tag", CLIP, "production"):
        assert invoke("export", name, "--force").exit_code == 78
        said = capfd.readouterr().out.strip()
        assert said == f"export --model Small/tag --models-dir {tmp_path / 'data' / 'models'} --force"
    assert invoke("export", "local-dir:/my__own/clip").exit_code == 78
    assert capfd.readouterr().out.startswith("export --model local-dir:/my__own/clip --models-dir ")


def start(manifest_file: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(manifest_file), "models", *arguments],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def at_a_terminal(manifest_file: Path, *arguments: str, answer: str) -> tuple[int, str]:
    """Exit status, and what a person sees who answers the first question; standard output goes elsewhere."""
    terminal, end = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(manifest_file), "models", *arguments],
            env=dict(os.environ) | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=end,
            stdout=subprocess.DEVNULL,
            stderr=end,
        ) as process:
            os.close(end)
            seen = b""
            # On Linux a terminal that nobody has open any more is an error to read.
            with contextlib.suppress(OSError):
                while piece := os.read(terminal, 4096):
                    seen += piece
                    if answer and b"accept it?" in seen:
                        os.write(terminal, answer.encode())
                        answer = ""
            return process.wait(DEADLINE_SECONDS), seen.decode()
    finally:
        os.close(terminal)


def test_a_person_at_a_terminal_is_asked_and_sees_a_bar(server: FileServer, manifest_file: Path) -> None:
    status, seen = at_a_terminal(manifest_file, "fetch", FACES, answer="n\n")
    assert status == 1
    assert f"{FACES} (0.0 MB) is licensed as: CC-BY-NC-4.0" in seen
    assert "https://example.org/licence" in seen
    assert server.requests == []
    status, seen = at_a_terminal(manifest_file, "fetch", FACES, CLIP, answer="y\n")
    assert status == 0
    assert "fetching weights.bin" in seen
    assert "━" in seen
    assert states() == {CLIP: "whole", FACES: "whole", "insightface/other": "absent"}
    # What is here needs no further word.
    status, seen = at_a_terminal(manifest_file, "fetch", FACES, answer="")
    assert status == 0
    assert "licensed" not in seen


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_part_and_no_process(
    server: FileServer, manifest_file: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    server.goes_on.clear()
    models_dir = tmp_path / "data" / "models"
    process = start(manifest_file, "fetch", CLIP)
    wait_for(lambda: any(part.stat().st_size for part in models_dir.rglob("*.part")), "a part has come")
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, told = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == status
    assert "Traceback" not in told
    assert not any(child.is_running() for child in children)
    assert not (models_dir / CLIP).exists()
    (part,) = (models_dir / ".fetching").rglob("*.part")
    had_bytes = part.stat().st_size
    assert 0 < had_bytes < len(WEIGHTS)
    server.goes_on.set()
    assert invoke("fetch", CLIP).exit_code == 0
    assert server.requests[-1][1] == f"bytes={had_bytes}-"


def test_two_processes_that_fetch_at_once_do_not_spoil_each_other(
    server: FileServer, manifest_file: Path, tmp_path: Path
) -> None:
    server.pause_seconds = 0.1
    first, second = start(manifest_file, "fetch", CLIP), start(manifest_file, "fetch", CLIP)
    outputs = [process.communicate(timeout=DEADLINE_SECONDS) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert sorted(told.strip() for told, _ in outputs) == [f"{CLIP}: fetched", f"{CLIP}: here already, and whole"]
    assert server.requests == [(f"/{CLIP}/weights.bin", None)]
    assert (tmp_path / "data" / "models" / CLIP / "weights.bin").read_bytes() == WEIGHTS
