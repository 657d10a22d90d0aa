"""What `triptych samples` prints and with what it exits."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from triptych_gateway.cli.samples import library as library_module
from triptych_gateway.cli.samples.command import samples
from triptych_gateway.cli.samples.errors import PictureMissingError


@pytest.fixture
def application() -> typer.Typer:
    application = typer.Typer()
    application.command()(samples)
    return application


def test_it_says_what_it_wrote_and_whom_the_pictures_are_from(application: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(application, [str(tmp_path / "photos"), "--count", "5", "--seed", "3"])

    assert result.exit_code == 0
    assert "Wrote 5 photos" in result.stdout
    assert "Eileen Collins 1" in result.stdout
    assert "NASA Great Images database, public domain" in result.stdout
    assert result.stderr == ""


def test_a_second_call_says_that_all_is_there(application: typer.Typer, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "photos"), "--count", "2"]
    CliRunner().invoke(application, arguments)

    result = CliRunner().invoke(application, arguments)

    assert result.exit_code == 0
    assert "Left as it is" in result.stdout


def test_a_refused_directory_is_one_sentence_on_standard_error(application: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(b"mine")

    result = CliRunner().invoke(application, [str(tmp_path)])

    assert result.exit_code == 1
    assert "holds other files" in result.stderr
    assert result.stdout == ""


def test_a_missing_package_is_one_sentence_on_standard_error(
    application: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise PictureMissingError("install insightface")

    monkeypatch.setattr(library_module, "find_pictures", missing)

    result = CliRunner().invoke(application, [str(tmp_path / "photos")])

    assert result.exit_code == 1
    assert "install insightface" in result.stderr


def test_a_place_that_cannot_be_written_is_one_sentence_on_standard_error(
    application: typer.Typer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"mine")

    result = CliRunner().invoke(application, [str(tmp_path / "file" / "photos")])

    assert result.exit_code == 1
    assert "not a directory" in result.stderr.lower()


def test_a_count_of_none_is_refused(application: typer.Typer, tmp_path: Path) -> None:
    assert CliRunner().invoke(application, [str(tmp_path / "photos"), "--count", "0"]).exit_code == 2
