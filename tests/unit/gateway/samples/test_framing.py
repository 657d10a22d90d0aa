"""A framing maps faces where it draws them, stays inside its picture and never shows half a face."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from triptych_gateway.cli.samples.errors import FramingError
from triptych_gateway.cli.samples.framing import Framing, common_roll_range, frame_people
from triptych_gateway.cli.samples.plan import plan_photo
from triptych_gateway.cli.samples.sources import ASTRONAUT, GROUP, Face


@given(index=st.integers(0, 400), seed=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_photo_lies_inside_its_picture_and_shows_faces_whole_or_not_at_all(index: int, seed: int) -> None:
    variant = plan_photo(index, seed=seed)

    assert variant.framing.lies_inside(variant.picture)
    assert max(variant.framing.width, variant.framing.height) <= 1280
    for face in variant.picture.faces:
        assert variant.framing.shows(face) != variant.framing.hides(face)
    for face in variant.people():
        left, top, width, height = variant.box(face)
        assert 0 < left < left + width < 1
        assert 0 < top < top + height < 1
        # dlib's detector sees faces of 40 pixels and more when it doubles the photo.
        assert height * variant.framing.height >= 64


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("roll_degrees", [-12.0, 0.0, 7.5])
@pytest.mark.parametrize("scale", [0.75, 1.0, 2.0])
def test_a_point_is_drawn_where_the_framing_says(mirrored: bool, roll_degrees: float, scale: float) -> None:
    picture = Image.new("L", (400, 300))
    picture.paste(255, (247, 97, 254, 104))
    framing = Framing(
        centre_x=220,
        centre_y=130,
        width=200,
        height=160,
        scale=scale,
        roll_degrees=roll_degrees,
        mirrored=mirrored,
    )

    rows, columns = np.nonzero(np.asarray(framing.cut(picture)) > 127)

    x, y = framing.to_photo(250.5, 100.5)
    assert columns.mean() + 0.5 == pytest.approx(x, abs=0.6)
    assert rows.mean() + 0.5 == pytest.approx(y, abs=0.6)


def test_a_positive_roll_turns_the_content_counter_clockwise() -> None:
    framing = Framing(centre_x=100, centre_y=100, width=100, height=100, scale=1, roll_degrees=10, mirrored=False)

    right_of_middle = framing.to_photo(120, 100)

    assert right_of_middle[0] > 50
    assert right_of_middle[1] < 50


def test_faces_that_allow_no_common_turn_are_refused() -> None:
    people = tuple(
        Face(person=name, centre_x=50, centre_y=50, side=20, roll_range_degrees=turn)
        for name, turn in (("one", (-9.0, -5.0)), ("other", (1.0, 2.0)))
    )

    with pytest.raises(FramingError, match="no turn suits"):
        common_roll_range(people)


def test_a_face_that_no_framing_can_show_is_refused_by_name() -> None:
    at_the_edge = Face(person="Nobody", centre_x=5, centre_y=5, side=90, roll_range_degrees=(0, 0))

    with pytest.raises(FramingError, match="Nobody"):
        frame_people(Random(1), ASTRONAUT, (at_the_edge,), long_side_range=(400, 500))


def test_faces_are_measured_inside_their_pictures() -> None:
    for picture in (ASTRONAUT, GROUP):
        for face in picture.faces:
            assert face.side / 2 < face.centre_x < picture.width - face.side / 2
            assert face.side / 2 < face.centre_y < (picture.usable_height or picture.height) - face.side / 2
