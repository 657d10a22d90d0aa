"""Decoders in processes of their own: what a photo does to one costs that photo, and none outlives its service."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from structlog.testing import capture_logs

from tests.support import poisoned_decoder
from tests.support.child_processes import children_of, is_running
from tests.support.hostile_photos import make_hostile_photos
from tests.support.odd_jpegs import ARITHMETIC, TWELVE_BITS
from tests.support.poisoned_decoder import poisoned
from tests.support.raw_photos import make_dng
from triptych_common.errors import AwayError, ConfigurationError
from triptych_common.media import DecodedImage, ImageFailure, Resolution, decode_image
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.metrics import DecoderMetrics
from triptych_common.media.decoders.pool import Decoders
from triptych_common.settings import MediaSettings

_WAIT_SECONDS = 60
_COMMAND = (sys.executable, poisoned_decoder.__file__)
_MAX_PIXELS = 1_000_000
_FULL = Resolution()


def _limits(*, processes: int = 1, seconds: float = 30, memory_bytes: int = 2**30) -> DecoderLimits:
    return DecoderLimits(processes=processes, seconds=seconds, memory_bytes=memory_bytes, max_pixels=_MAX_PIXELS)


def _photo(colour: str = "navy") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """Two, which a poisoned photo does something to."""
    pool = Decoders(_limits(processes=2), command=_COMMAND)
    pool.start()
    pool.until_ready()
    yield pool
    pool.close()


def _result(
    decode: Callable[..., DecodedImage], content: bytes, *, max_pixels: int = _MAX_PIXELS
) -> tuple[object, ...]:
    """All that comes of a photo, to be compared."""
    try:
        decoded = decode(content, resolution=_FULL, max_pixels=_MAX_PIXELS)
    except ImageFailure as failure:
        return failure.code, failure.message, failure.permanent
    return decoded.facts, decoded.pixels.shape, decoded.pixels.tobytes()


def _failure(decoders: Decoders, content: bytes) -> ImageFailure:
    with pytest.raises(ImageFailure) as caught:
        decoders.decode(content, resolution=_FULL, max_pixels=_MAX_PIXELS)
    return caught.value


def _decoders() -> set[int]:
    """Those that this process has started; servers of other tests may be its children as well."""
    poisoned_ones = poisoned_decoder.__file__.encode()
    return {pid for pid in children_of() if poisoned_ones in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")}


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


def _odd_photos(folder: Path) -> dict[str, bytes]:
    """A photo of every format and kind, in order and not."""
    made = make_hostile_photos(folder)
    paths = [folder / os.fsdecode(name) for name in (*made.readable, *made.bad)]
    photos = {path.name: path.read_bytes() for path in paths if path.is_file() and os.access(path, os.R_OK)}
    photos |= {"arithmetic": ARITHMETIC, "12 bits": TWELVE_BITS, "raw": make_dng(preview=None), "empty": b""}
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM"):
        file = io.BytesIO()
        Image.radial_gradient("L").convert("RGB").save(file, kind)
        photos |= {kind: file.getvalue(), f"half a {kind}": file.getvalue()[: len(file.getvalue()) // 2]}
    return photos


def test_every_photo_comes_out_as_it_does_here(decoders: Decoders, tmp_path: Path) -> None:
    photos = _odd_photos(tmp_path / "photos")
    assert len(photos) > 50
    here = {name: _result(decode_image, content) for name, content in photos.items()}
    apart = {name: _result(decoders.decode, content) for name, content in photos.items()}
    assert {name for name, result in apart.items() if result != here[name]} == set()
    assert sum(isinstance(result[-1], bytes) for result in apart.values()) > 25


_IMPORTS = """
import sys
from pathlib import Path
from triptych_common.media.decoders.child import warm_up
from triptych_common.media import Resolution, decode_image
from triptych_common.media.failures import ImageFailure
before = None
warm_up()
before = set(sys.modules)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode_image(path.read_bytes(), resolution=Resolution(longest_side_pixels=20), max_pixels=10**6)
    except ImageFailure:
        pass
print(*sorted(set(sys.modules) - before))
print(*sorted(before))
"""


def test_a_decoder_imports_what_it_needs_before_it_leaves_all_files_and_little_else(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    for number, content in enumerate(_odd_photos(tmp_path / "photos").values()):
        (folder / str(number)).write_bytes(content)
    said = subprocess.check_output([sys.executable, "-c", _IMPORTS, str(folder)], text=True, timeout=_WAIT_SECONDS)
    later, before = said.splitlines()
    assert later == ""
    packages = {name.partition(".")[0] for name in before.split()} - set(sys.stdlib_module_names)
    assert {"PIL", "numpy", "pillow_heif", "rawpy", "triptych_common"} <= packages
    assert packages.isdisjoint({"google", "grpc", "triptych", "pydantic", "structlog", "obstore", "opentelemetry"})


_SERVICE_IMPORTS = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted({"pillow_heif", "rawpy", "PIL.ImageCms", "triptych_common.media.decoding"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", ["triptych_embedder", "triptych_facedetect", "triptych_gateway"])
def test_no_service_has_a_decoder_of_its_own(name: str) -> None:
    command = [sys.executable, "-c", _SERVICE_IMPORTS, f"{name}.main"]
    assert subprocess.check_output(command, text=True, timeout=2 * _WAIT_SECONDS).strip() == ""


@pytest.mark.parametrize(
    ("poison", "signal_name"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT"), ("exit", "exit status 3")]
)
def test_a_photo_that_crashes_its_decoder_fails_alone_and_for_good(
    decoders: Decoders, poison: str, signal_name: str
) -> None:
    lost = dict(decoders.lost)
    with capture_logs() as logs:
        failure = _failure(decoders, poisoned(_photo(), poison))
    assert (failure.code, failure.permanent) == ("decoder_crashed", True)
    assert signal_name in failure.message
    # Twice: another photo may have broken the first decoder.
    assert decoders.lost == {**lost, "crashed": lost["crashed"] + 2}
    assert [(line["code"], line["how"]) for line in logs] == [("decoder_crashed", signal_name)] * 2
    if poison != "exit":
        assert "_decode" in logs[0]["trace"]
    assert _result(decoders.decode, _photo()) == _result(decode_image, _photo())


def test_a_photo_whose_decoder_was_killed_is_tried_in_a_fresh_one(decoders: Decoders) -> None:
    lost = dict(decoders.lost)
    for pid in _decoders():
        os.kill(pid, signal.SIGKILL)
    assert _result(decoders.decode, _photo()) == _result(decode_image, _photo())
    assert decoders.lost == {**lost, "killed": lost["killed"] + 1}


def test_a_photo_at_which_decoders_are_killed_again_and_again_may_be_tried_later(decoders: Decoders) -> None:
    failure = _failure(decoders, poisoned(_photo(), "kill"))
    assert (failure.code, failure.permanent) == ("decoder_crashed", False)
    assert "lack of memory" in failure.message


@pytest.mark.parametrize("poison", ["hang", "spin"])
def test_a_photo_at_which_its_decoder_hangs_fails_at_the_deadline(poison: str) -> None:
    before = children_of()
    pool = Decoders(_limits(seconds=1), command=_COMMAND)
    pool.start()
    pool.until_ready()
    (stuck,) = children_of() - before
    began = time.monotonic()
    failure = _failure(pool, poisoned(_photo(), poison))
    assert (failure.code, failure.permanent) == ("decoder_timed_out", False)
    assert time.monotonic() - began >= 1
    assert not is_running(stuck)
    assert pool.lost == {"crashed": 0, "killed": 0, "timed_out": 1}
    assert _result(pool.decode, _photo()) == _result(decode_image, _photo())
    pool.close()


def test_a_photo_that_needs_more_memory_than_a_decoder_may_have_is_too_large(
    decoders: Decoders, tmp_path: Path
) -> None:
    lost = dict(decoders.lost)
    assert _failure(decoders, poisoned(_photo(), "allocate")).code == "too_large"
    # 900 million pixels, which the limit on pixels would let pass.
    bomb = tmp_path / "photos" / "bomb.png"
    make_hostile_photos(tmp_path / "photos")
    with pytest.raises(ImageFailure) as caught:
        decoders.decode(bomb.read_bytes(), resolution=_FULL, max_pixels=10**9)
    assert caught.value.code == "too_large"
    assert decoders.lost == lost


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"progressive": True}), ("JPEG2000", {}), ("HEIF", {}), ("AVIF", {"speed": 10}), ("WEBP", {"method": 0})],
)
def test_a_picture_that_its_library_lacks_memory_for_is_not_called_damaged(kind: str, options: dict[str, Any]) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (100, 100, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((1600, 1600)).save(file, kind, **options)
    pool = Decoders(_limits(memory_bytes=70 * 2**20), command=_COMMAND)
    pool.start()
    pool.until_ready()
    with pytest.raises(ImageFailure) as caught:
        pool.decode(file.getvalue(), resolution=_FULL, max_pixels=10**7)
    pool.close()
    assert caught.value.code == "too_large"


def test_what_a_decoder_raises_that_none_should_is_logged_and_says_nothing_of_the_photo(decoders: Decoders) -> None:
    with capture_logs() as logs:
        failure = _failure(decoders, poisoned(_photo(), "raise"))
    assert (failure.code, failure.permanent) == ("read_failed", False)
    assert [line["event"] for line in logs] == ["a decoder raised what none should"]


def test_a_decoder_may_open_no_file_and_print_what_it_likes(decoders: Decoders) -> None:
    assert _failure(decoders, poisoned(_photo(), "open")).code == "read_failed"
    for _ in range(10):  # more than a pipe holds
        assert _result(decoders.decode, poisoned(_photo(), "print")) == _result(
            decode_image, poisoned(_photo(), "print")
        )


def test_a_decoder_has_no_secret_no_file_and_no_privilege_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_SERVICE_TOKEN", "a secret of this service")
    before = children_of()
    pool = Decoders(_limits(), command=_COMMAND)
    pool.start()
    pool.until_ready()
    for pid in children_of() - before:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"TRIPTYCH" not in environment
        targets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        kinds = {target.partition(":")[0] for target in targets}
        assert kinds <= {"/dev/null", "pipe", "socket", "/memfd", f"/proc/{pid}/statm"}
        assert len(targets) <= 6  # null, standard error, the channel, content and pixels, how much memory it has
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["NoNewPrivs"] == "1"
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
        limits = Path(f"/proc/{pid}/limits").read_text()
        for name, most in (("Max core file size", 0), ("Max open files", 0), ("Max data size", 2**30)):
            (line,) = [line for line in limits.splitlines() if line.startswith(name)]
            assert line.split()[-3:-1] == [str(most), str(most)]
    pool.close()


def test_signals_that_are_meant_for_the_service_do_not_end_a_decoder(decoders: Decoders) -> None:
    lost = dict(decoders.lost)
    for pid in _decoders():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    for _ in range(4):
        assert _result(decoders.decode, _photo()) == _result(decode_image, _photo())
    assert decoders.lost == lost


def test_several_threads_get_their_own_photos_back(decoders: Decoders) -> None:
    colours = [(red, green, 0) for red in range(0, 250, 25) for green in range(0, 250, 25)]

    def decoded(colour: tuple[int, int, int]) -> tuple[int, ...]:
        file = io.BytesIO()
        Image.new("RGB", (8 + colour[0], 8 + colour[1]), colour).save(file, "PNG")
        pixels = decoders.decode(file.getvalue(), resolution=_FULL, max_pixels=_MAX_PIXELS).pixels
        assert pixels.shape == (8 + colour[1], 8 + colour[0], 3)
        return tuple(int(one) for one in np.unique(pixels.reshape(-1, 3), axis=0)[0])

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(decoded, colours)) == colours


def test_closing_ends_all_of_them_also_where_one_hangs_and_tells_who_waits() -> None:
    before = children_of()
    pool = Decoders(_limits(processes=2), command=_COMMAND)
    pool.start()
    pool.until_ready()
    mine = children_of() - before
    assert len(mine) == 2
    raised: list[BaseException] = []

    def decode() -> None:
        try:
            pool.decode(poisoned(_photo(), "hang"), resolution=_FULL, max_pixels=_MAX_PIXELS)
        except AwayError as away:
            raised.append(away)

    thread = threading.Thread(target=decode)
    thread.start()
    _until(lambda: pool._idle.qsize() == 1, "one of them is at work")
    pool.close()
    thread.join(_WAIT_SECONDS)
    assert [away.reason for away in raised if isinstance(away, AwayError)] == ["STOPPING"]
    assert not any(is_running(pid) for pid in mine)
    assert pool.lost == {"crashed": 0, "killed": 0, "timed_out": 0}
    with pytest.raises(AwayError):
        pool.decode(_photo(), resolution=_FULL, max_pixels=_MAX_PIXELS)
    pool.close()


_SERVICE = """
import sys, threading
from triptych_common.media import Resolution
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.pool import Decoders
pool = Decoders(DecoderLimits(processes=2, seconds=600, memory_bytes=2**30, max_pixels=10**6), command=sys.argv[1:])
def decode():
    pool.decode(b"poison: hang", resolution=Resolution(), max_pixels=10**6)
# They are started by a thread that is gone soon.
starter = threading.Thread(target=lambda: (pool.start(), pool.until_ready()))
starter.start()
starter.join()
threading.Thread(target=decode, daemon=True).start()
while pool._idle.qsize() > 1:
    pass
print("at work", flush=True)
threading.Event().wait()
"""


def test_no_decoder_outlives_a_service_that_is_killed() -> None:
    service = subprocess.Popen([sys.executable, "-c", _SERVICE, *_COMMAND], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    while "at work" not in service.stdout.readline():
        assert service.poll() is None
    children = children_of(service.pid)
    assert len(children) == 2
    service.kill()
    service.wait()
    service.stdout.close()
    _until(lambda: not any(is_running(pid) for pid in children), "the decoders end with their service")


def test_where_none_can_be_started_the_service_does_not_start() -> None:
    before = children_of()
    for command, sentence in (
        (("/nowhere/python",), "No process that decodes photos can be started: No such file"),
        ((sys.executable, "-c", "import nothing_of_that_name"), "does not start: exit status 1"),
        (("/bin/echo",), "does not start"),
    ):
        pool = Decoders(_limits(), command=command)
        with pytest.raises(ConfigurationError, match=sentence):
            pool.start()
            pool.until_ready()
    assert children_of() == before


def test_where_a_fresh_one_cannot_be_started_nothing_is_said_of_the_photo(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    program = tmp_path / "decoder.py"
    program.write_text(Path(poisoned_decoder.__file__).read_text())
    pool = Decoders(_limits(), command=(sys.executable, str(program)))
    pool.start()
    pool.until_ready()
    program.unlink()
    for _ in range(2):
        with pytest.raises(AwayError) as caught:
            pool.decode(poisoned(_photo(), "segfault"), resolution=_FULL, max_pixels=_MAX_PIXELS)
        assert caught.value.reason == "NO_DECODER"
    program.write_text(Path(poisoned_decoder.__file__).read_text())
    assert _result(pool.decode, _photo()) == _result(decode_image, _photo())
    pool.close()


def test_its_metrics_count_what_was_lost_and_what_is_taken(decoders: Decoders) -> None:
    samples = {
        (sample.name, sample.labels.get("reason")): sample.value
        for metric in DecoderMetrics(lambda: decoders).collect()
        for sample in metric.samples
    }
    for reason, count in decoders.lost.items():
        assert samples["triptych_decoders_lost_total", reason] == count
    taken_bytes = samples["triptych_decoder_memory_bytes", None]
    # Each has an interpreter with its libraries, and no more than that.
    assert 10 * 2**20 < taken_bytes / 2 < 100 * 2**20
    assert list(DecoderMetrics(lambda: None).collect()) == []


def test_the_memory_of_a_decoder_follows_the_largest_photo_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych_common.media.decoders.limits.machine_bytes", lambda: 2**40)
    small = MediaSettings(max_image_pixels=10**6, max_image_bytes=2**20)
    large = MediaSettings(max_image_pixels=10**9, max_image_bytes=2**20)
    assert DecoderLimits.of(small, processes=1).memory_bytes < 2**29
    assert DecoderLimits.of(large, processes=1).memory_bytes > 16 * 10**9
    told = MediaSettings(decoder_memory_bytes=2**30)
    assert DecoderLimits.of(told, processes=1).memory_bytes == 2**30
    monkeypatch.setattr("triptych_common.media.decoders.limits.machine_bytes", lambda: 2**31)
    assert DecoderLimits.of(large, processes=3) == DecoderLimits(
        processes=3, seconds=60, memory_bytes=2**30, max_pixels=10**9
    )
