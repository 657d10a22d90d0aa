"""Fetching against a real HTTP server: whole, resumed, refused, and once at a time."""

import errno
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.file_server import FileServer, file_server
from tests.support.model_entries import archive_of, content, entry, packed_entry, pinned, plain_entry
from triptych_common.model_store.errors import LicenceNotAccepted, PlaceError, TransferError
from triptych_common.model_store.fetching import FetchOptions, fetch
from triptych_common.model_store.listening import Silent, Step
from triptych_common.model_store.manifest import Entry
from triptych_common.model_store.transfer import TransferOptions
from triptych_common.model_store.workshop import fetched_bytes

NAME = "open_clip/small"
WEIGHTS = content(300_000)
MEMBERS = {"detector.onnx": content(5000, 1), "recogniser.onnx": content(30_000, 2)}
PACK = "insightface/pack"
QUICK = TransferOptions(connect_seconds=5, silence_seconds=5, first_attempts=2, attempts=3, pause_seconds=0.01)


class Told(Silent):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.progress: list[tuple[Step, str, int, int]] = []

    def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
        self.progress.append((step, name, done_bytes, total_bytes))

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as served:
        served.files[f"/{NAME}/weights.bin"] = WEIGHTS
        yield served


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


def options(server: FileServer, *, accepted: bool = False) -> FetchOptions:
    return FetchOptions(mirror=f"{server.url}/", licence_accepted=accepted, transfer=QUICK)


def part_of(models_dir: Path, name: str = NAME) -> Path:
    return next((models_dir / ".fetching" / name.replace("/", "__")).glob("*.part"))


def left_over(models_dir: Path) -> list[str]:
    return [path.name for path in (models_dir / ".fetching").iterdir() if not path.name.endswith(".lock")]


def test_a_file_comes_whole_and_a_second_fetch_asks_nobody(server: FileServer, models_dir: Path) -> None:
    told = Told()
    assert fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told) is True
    assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS
    assert told.progress[-1] == (Step.FETCHING, "weights.bin", len(WEIGHTS), len(WEIGHTS))
    assert left_over(models_dir) == []
    assert fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told) is False
    assert server.requests == [(f"/{NAME}/weights.bin", None)]


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_connection_that_breaks_is_gone_on_with(server: FileServer, models_dir: Path, *, has_ranges: bool) -> None:
    server.has_ranges = has_ranges
    server.cuts_after_bytes = 100_000
    told = Told()
    if has_ranges:
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told)
        assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS
        assert [asked for _, asked in server.requests] == [None, "bytes=100000-", "bytes=200000-"]
        return
    with pytest.raises(TransferError, match="what has come so far is kept"):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told)
    # It brought the same beginning every time: given up after as many attempts as brought nothing new.
    assert len(server.requests) == QUICK.attempts
    assert not (models_dir / NAME).exists()
    server.cuts_after_bytes = None
    fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told)
    assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS


def test_an_interrupted_fetch_keeps_its_part_and_the_next_goes_on(server: FileServer, models_dir: Path) -> None:
    class Interrupting(Told):
        def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
            if done_bytes >= 150_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Interrupting())
    had_bytes = part_of(models_dir).stat().st_size
    assert 150_000 <= had_bytes < len(WEIGHTS)
    assert fetched_bytes(plain_entry(NAME, WEIGHTS), models_dir) == had_bytes
    assert not (models_dir / NAME).exists()
    fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())
    assert server.requests[-1][1] == f"bytes={had_bytes}-"
    assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("left", [content(5000, 8), content(400_000, 8)], ids=["other content", "more than all"])
def test_a_part_that_does_not_fit_is_fetched_anew(server: FileServer, models_dir: Path, left: bytes) -> None:
    workshop = models_dir / ".fetching" / NAME.replace("/", "__")
    workshop.mkdir(parents=True)
    (workshop / "weights.bin.part").write_bytes(left)
    fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())
    assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS


def test_a_whole_part_that_was_not_renamed_is_taken_without_asking(server: FileServer, models_dir: Path) -> None:
    workshop = models_dir / ".fetching" / NAME.replace("/", "__")
    workshop.mkdir(parents=True)
    (workshop / "weights.bin.part").write_bytes(WEIGHTS)
    fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())
    assert server.requests == []


def test_other_bytes_than_are_pinned_are_not_kept(server: FileServer, models_dir: Path) -> None:
    server.files[f"/{NAME}/weights.bin"] = content(len(WEIGHTS), 7)
    with pytest.raises(TransferError, match="its SHA-256 differs"):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())
    assert not (models_dir / NAME).exists()
    assert part_of(models_dir).stat().st_size == 0


@pytest.mark.parametrize("size_bytes", [len(WEIGHTS) + 1, 1000])
def test_a_file_of_another_size_is_refused_before_it_comes(
    server: FileServer, models_dir: Path, size_bytes: int
) -> None:
    server.files[f"/{NAME}/weights.bin"] = content(size_bytes)
    told = Told()
    with pytest.raises(TransferError, match=f"offers {size_bytes:,} bytes, not the 300,000"):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told)
    assert told.progress == []


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server: FileServer, models_dir: Path) -> None:
    server.statuses = [503]
    told = Told()
    fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told)
    assert told.sentences == ["weights.bin: the server answered HTTP 503; trying again in 0.01 s."]
    del server.files[f"/{NAME}/weights.bin"]
    (models_dir / NAME / "weights.bin").unlink()
    server.requests.clear()
    with pytest.raises(TransferError, match="was answered with HTTP 404 Not Found"):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), told)
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_one_sentence(models_dir: Path) -> None:
    with file_server() as gone:
        pass
    with pytest.raises(
        TransferError, match=r"^weights\.bin could not be fetched from http.*Connection refused; .*--from DIR"
    ):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(gone), Told())


def test_the_environments_proxy_is_used_and_no_proxy_spares_it(
    server: FileServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    away = FetchOptions(mirror="http://models.example.org", transfer=QUICK)
    fetch(plain_entry(NAME, WEIGHTS), models_dir, away, Told())
    assert server.requests == [(f"http://models.example.org/{NAME}/weights.bin", None)]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (models_dir / NAME / "weights.bin").unlink()
    fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_one_sentence(
    server: FileServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(TransferError, match=r"^The environment's proxy or certificates .* cannot be used: "):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())


def test_a_licence_against_commercial_use_must_be_accepted(server: FileServer, models_dir: Path) -> None:
    licensed = plain_entry(NAME, WEIGHTS, non_commercial=True)
    with pytest.raises(LicenceNotAccepted, match=r"CC-BY-NC-4\.0.*https://example\.org/licence.*--accept-licence"):
        fetch(licensed, models_dir, options(server), Told())
    assert server.requests == []
    assert fetch(licensed, models_dir, options(server, accepted=True), Told()) is True
    # What is there needs no further word.
    assert fetch(licensed, models_dir, options(server), Told()) is False


def packed(server: FileServer, archive: bytes, *, prefix: str = "") -> Entry:
    server.files[f"/{PACK}/pack.zip"] = archive
    return packed_entry(PACK, archive, MEMBERS, prefix=prefix)


@pytest.mark.parametrize("prefix", ["", "pack/"])
def test_an_archive_is_unpacked_and_only_what_is_pinned_is_taken(
    server: FileServer, models_dir: Path, tmp_path: Path, prefix: str
) -> None:
    members = {f"{prefix}{name}": data for name, data in MEMBERS.items()}
    archive = archive_of(
        {**members, "../../escaped.txt": b"x", f"{tmp_path}/escaped.txt": b"x", "genderage.onnx": b"x"}
    )
    fetch(packed(server, archive, prefix=prefix), models_dir, options(server), Told())
    found = {path.name: path.read_bytes() for path in (models_dir / PACK).iterdir()}
    assert found == MEMBERS
    assert left_over(models_dir) == []
    assert not list(tmp_path.rglob("escaped.txt"))


@pytest.mark.parametrize(
    ("archive", "problem"),
    [
        (archive_of({"detector.onnx": MEMBERS["detector.onnx"]}), "does not hold what it should"),
        (archive_of(MEMBERS | {"recogniser.onnx": bytes(5_000_000)}), "has 5,000,000 bytes, not 30,000"),
        (archive_of(MEMBERS | {"recogniser.onnx": content(30_000, 5)}), "is not what it should be"),
        (b"no archive", "cannot be unpacked"),
        (archive_of(MEMBERS)[:-40], "cannot be unpacked"),
    ],
    ids=["missing", "bomb", "other content", "no archive", "cut short"],
)
def test_an_archive_that_is_not_what_was_pinned_gives_nothing(
    server: FileServer, models_dir: Path, archive: bytes, problem: str
) -> None:
    with pytest.raises(TransferError, match=problem):
        fetch(packed(server, archive), models_dir, options(server), Told())
    assert not (models_dir / PACK).exists()


def test_a_bomb_that_lies_about_its_size_is_stopped(server: FileServer, models_dir: Path) -> None:
    bomb = archive_of({**MEMBERS, "recogniser.onnx": bytes(5_000_000)})
    lying = bomb.replace((5_000_000).to_bytes(4, "little"), (30_000).to_bytes(4, "little"))
    with pytest.raises(TransferError):
        fetch(packed(server, lying), models_dir, options(server), Told())
    written = [path.stat().st_size for path in models_dir.rglob("recogniser.onnx")]
    assert all(size <= 30_000 for size in written)


def test_a_damaged_file_is_replaced_and_the_others_are_left(server: FileServer, models_dir: Path) -> None:
    both = entry(
        NAME,
        [
            {"url": "https://example.org/r1/weights.bin", "file": pinned("weights.bin", WEIGHTS)},
            {"url": "https://example.org/r1/other.bin", "file": pinned("other.bin", b"other")},
        ],
    )
    server.files[f"/{NAME}/other.bin"] = b"other"
    fetch(both, models_dir, options(server), Told())
    (models_dir / NAME / "notes.txt").write_text("mine")
    (models_dir / NAME / "weights.bin").write_bytes(WEIGHTS[:-1])
    server.requests.clear()
    assert fetch(both, models_dir, options(server), Told()) is True
    assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS
    assert (models_dir / NAME / "notes.txt").read_text() == "mine"
    assert [path for path, _ in server.requests] == [f"/{NAME}/weights.bin"]


def test_two_fetches_at_once_bring_it_once(server: FileServer, models_dir: Path) -> None:
    server.pause_seconds = 0.01
    second = Told()
    with ThreadPoolExecutor(2) as pool:
        first_done = pool.submit(fetch, plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())
        assert server.sending.wait(20)
        second_done = pool.submit(fetch, plain_entry(NAME, WEIGHTS), models_dir, options(server), second)
        assert (first_done.result(20), second_done.result(20)) == (True, False)
    assert second.sentences == [f"{NAME} is being fetched by another process: waiting for it."]
    assert server.requests == [(f"/{NAME}/weights.bin", None)]
    assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS


LAYOUTS: dict[str, dict[str, bytes]] = {
    "archive at the top": {"pack.zip": archive_of(MEMBERS)},
    "archive under the entry": {f"{PACK}/pack.zip": archive_of(MEMBERS)},
    "files under the pack": {f"pack/{name}": data for name, data in MEMBERS.items()},
    "another models directory": {f"{PACK}/{name}": data for name, data in MEMBERS.items()},
    "files at the top": MEMBERS,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_directory_gives_what_a_server_would(tmp_path: Path, models_dir: Path, layout: str) -> None:
    source = tmp_path / "mirror"
    for name, data in LAYOUTS[layout].items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    told = Told()
    wanted = packed_entry(PACK, archive_of(MEMBERS), MEMBERS)
    assert fetch(wanted, models_dir, FetchOptions(offline=source, transfer=QUICK), told) is True
    assert {path.name: path.read_bytes() for path in (models_dir / PACK).iterdir()} == MEMBERS
    assert {step for step, *_ in told.progress} <= {Step.COPYING, Step.UNPACKING}
    assert left_over(models_dir) == []


def test_a_directory_without_them_says_what_is_wanted(tmp_path: Path, models_dir: Path) -> None:
    (tmp_path / "pack.zip").write_bytes(b"too short")
    wanted = packed_entry(PACK, archive_of(MEMBERS), MEMBERS)
    digest = hashlib.sha256(archive_of(MEMBERS)).hexdigest()
    with pytest.raises(TransferError, match=rf"does not hold {PACK}/pack\.zip .*SHA-256 {digest}"):
        fetch(wanted, models_dir, FetchOptions(offline=tmp_path), Told())


def test_a_directory_with_other_content_gives_nothing(tmp_path: Path, models_dir: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(content(len(WEIGHTS), 3))
    with pytest.raises(TransferError, match="it was not taken"):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, FetchOptions(offline=tmp_path), Told())
    assert not (models_dir / NAME).exists()


def test_too_little_space_is_said_before_anything_comes(
    server: FileServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(PlaceError, match=r"^67 MB are needed and 1 MB are free at .*: free some space"):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Told())
    assert server.requests == []


def test_a_disk_that_fills_up_is_one_sentence_and_the_part_stays(server: FileServer, models_dir: Path) -> None:
    class Filling(Told):
        def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
            if done_bytes >= 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(PlaceError, match=r"There is no room for more in .*No space left.*what has come so far is kept"):
        fetch(plain_entry(NAME, WEIGHTS), models_dir, options(server), Filling())
    assert part_of(models_dir).stat().st_size >= 100_000


def test_a_place_that_is_a_file_is_one_sentence(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(PlaceError, match="cannot be used: "):
        fetch(plain_entry(NAME, WEIGHTS), tmp_path / "models", options(server), Told())


def test_an_encrypted_archive_gives_nothing(server: FileServer, models_dir: Path) -> None:
    archive = bytearray(archive_of(MEMBERS))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        begin = archive.find(signature)
        while begin >= 0:
            archive[begin + offset] |= 1
            begin = archive.find(signature, begin + 4)
    with zipfile.ZipFile(io.BytesIO(bytes(archive))) as opened:
        assert opened.infolist()[0].flag_bits & 1
    with pytest.raises(TransferError, match="cannot be unpacked"):
        fetch(packed(server, bytes(archive)), models_dir, options(server), Told())


def test_waiting_ends_when_the_other_fetch_fails(server: FileServer, models_dir: Path) -> None:
    server.pause_seconds = 0.01
    stop = threading.Event()

    class Failing(Told):
        def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
            if stop.is_set():
                raise OSError(errno.ENOSPC, "No space left on device")

    waiting = Told()
    with ThreadPoolExecutor(2) as pool:
        first_done = pool.submit(fetch, plain_entry(NAME, WEIGHTS), models_dir, options(server), Failing())
        assert server.sending.wait(20)
        second_done = pool.submit(fetch, plain_entry(NAME, WEIGHTS), models_dir, options(server), waiting)
        stop.set()
        with pytest.raises(PlaceError):
            first_done.result(20)
        assert second_done.result(20) is True
    assert (models_dir / NAME / "weights.bin").read_bytes() == WEIGHTS
