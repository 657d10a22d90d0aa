"""As many photos at once as fit: never more than the device has, and the model's own where it has enough."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_common.models.description import DeviceMemoryError
from triptych_common.models.device_memory import AcceleratorMemory
from triptych_common.photos.fitting import fitting_micro_batch


@dataclass
class _Gpu:
    """A model on a device that keeps what it took, as the runtimes of networks do."""

    total: int
    once: int
    a_photo: int
    micro_batch: int = 64
    lanes: int = 1
    kept: int = 0
    computed: list[int] = field(default_factory=list)

    def rehearse(self, photos: int) -> None:
        needed = self.once + self.a_photo * photos
        if needed > self.total:
            raise DeviceMemoryError(f"{needed} of {self.total}")
        self.kept = max(self.kept, needed)
        self.computed.append(photos)

    def memory(self) -> AcceleratorMemory:
        return AcceleratorMemory(lambda: self.total - self.kept)


def test_with_enough_memory_it_is_the_models_own_and_that_is_warm() -> None:
    gpu = _Gpu(total=100_000, once=100, a_photo=100)
    assert fitting_micro_batch(gpu, gpu.memory()) == 64
    assert gpu.computed == [1, 64]


def test_it_is_halved_until_every_lane_has_room() -> None:
    gpu = _Gpu(total=10_000, once=1_000, a_photo=100, lanes=2)
    # 4,000 for each lane are usable: 16 photos take 2,600, and 32 would take 4,200.
    assert fitting_micro_batch(gpu, gpu.memory()) == 16
    assert gpu.computed == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("total", [0, 150])
def test_where_not_even_one_fits_photos_come_one_at_a_time(total: int) -> None:
    gpu = _Gpu(total=total, once=100, a_photo=100)
    assert fitting_micro_batch(gpu, gpu.memory()) == 1


def test_a_device_that_tells_nothing_gets_the_models_own() -> None:
    def silent() -> int:
        raise OSError("no driver")

    gpu = _Gpu(total=100, once=10, a_photo=10)
    assert fitting_micro_batch(gpu, AcceleratorMemory(silent)) == 64
    assert gpu.computed == []


def test_another_error_of_the_model_is_raised() -> None:
    class Broken(_Gpu):
        def rehearse(self, photos: int) -> None:
            raise ValueError("not a number")

    with pytest.raises(ValueError, match="not a number"):
        fitting_micro_batch(Broken(total=100, once=1, a_photo=1), _Gpu(total=100, once=1, a_photo=1).memory())


@given(
    total=st.integers(1, 10**6),
    once=st.integers(1, 10**4),
    a_photo=st.integers(1, 10**4),
    own=st.integers(1, 256),
    lanes=st.integers(1, 4),
)
def test_what_is_chosen_fits_into_all_lanes_and_nothing_is_given_up_that_surely_fits(
    total: int, once: int, a_photo: int, own: int, lanes: int
) -> None:
    gpu = _Gpu(total=total, once=once, a_photo=a_photo, micro_batch=own, lanes=lanes)
    chosen = fitting_micro_batch(gpu, gpu.memory())
    assert 1 <= chosen <= own
    assert chosen == 1 or lanes * (once + a_photo * chosen) <= total
    # What was not chosen could not be expected to fit, given that twice as many take at most twice as much.
    assert chosen > own / 2 or lanes * 2 * (once + a_photo * chosen) > 0.8 * total - 1
    assert max(gpu.computed, default=1) >= chosen
