"""The open_clip backend: CLIP in PyTorch, on a CPU or a CUDA device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from triptych_common.errors import ConfigurationError
from triptych_common.models.description import DeviceMemoryError, ModelInfo, Precision
from triptych_common.models.device_memory import AcceleratorMemory, DeviceMemory
from triptych_common.models.devices import Device
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.clip_weights import ClipWeights, find_weights
from triptych_embedder.models.open_clip_towers import ClipTowers, first_line, load_towers
from triptych_embedder.models.precision import choose_precision
from triptych_embedder.models.unit_vectors import unit_vectors

NO_TEXT: Final = (
    "No search by text: this network's tokenizer.json and tokenizer_config.json are not beside its weights."
)

_TYPES: Final = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_MICRO_BATCH_CPU: Final = 8
_MICRO_BATCH_GPU: Final = 64
_CPU_OUT_OF_MEMORY: Final = "can't allocate memory"
"""What PyTorch's allocator for the CPU says in a RuntimeError."""


class OpenClip(EmbeddingModel):
    """Image and text tower of a CLIP network, each to unit vectors of one space."""

    def __init__(
        self,
        weights: ClipWeights,
        towers: ClipTowers,
        *,
        device: str,
        precision: Precision,
        threads: int,
        compile_model: bool,
    ) -> None:
        self._preprocessing = towers.preprocessing
        self._tokenize = towers.tokenize
        self._device = torch.device(device)
        self._type = _TYPES[precision]
        self._threads = threads
        self._compiles = compile_model
        towers.model.visual.to(memory_format=torch.channels_last)
        self._encode_image: Callable[[Any, bool], Any] = towers.model.encode_image
        self._encode_text: Callable[[Any, bool], Any] = towers.model.encode_text
        if compile_model:
            self._encode_image = torch.compile(self._encode_image, dynamic=True)
        self.resolution = towers.preprocessing.resolution
        self.micro_batch = _MICRO_BATCH_CPU if device == "cpu" else _MICRO_BATCH_GPU
        self.lanes = 1 if device == "cpu" else 2
        self.info = ModelInfo(
            model_id=weights.model_id,
            pack="production",
            display_name=weights.display_name,
            dimension=towers.dimension,
            metric="cosine",
            device=device,
            licence=weights.licence,
            notice="" if towers.tokenize is not None else NO_TEXT,
            has_text_tower=towers.tokenize is not None,
            precision=precision,
        )

    @classmethod
    def load(cls, name: str, options: EmbeddingOptions) -> Self:
        """Load weights by their name (see ``find_weights``).

        Raises ConfigurationError where they are missing or damaged, or device or precision cannot be had.
        """
        device = choose_device(options.device)
        has_bf16 = device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
        precision = choose_precision(options.precision, device=device, has_bf16=has_bf16)
        weights = find_weights(name, options.models_dir)
        torch.set_num_threads(options.threads)
        # Where fp32 is asked for it is meant: TF32 has ten bits for the fraction, as fp16.
        torch.backends.cudnn.allow_tf32 = False
        towers = load_towers(weights, device=device, precision=precision)
        return cls(
            weights,
            towers,
            device=device,
            precision=precision,
            threads=options.threads,
            compile_model=options.compile_model,
        )

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors [n, dimension]. Raises ValueError where the network gives no finite, non-zero features."""
        pictures = torch.from_numpy(self._preprocessing.prepare_all(images, threads=self._threads))
        with _memory_errors(), torch.inference_mode():
            pictures = pictures.to(self._device, self._type, memory_format=torch.channels_last)
            features = self._encode_image(pictures, False).float().cpu().numpy()
        return unit_vectors(features)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors [n, dimension]. Raises ValueError where the network gives no finite, non-zero features."""
        tokens = self._tokenize(list(texts))
        with _memory_errors(), torch.inference_mode():
            features = self._encode_text(tokens.to(self._device), False).float().cpu().numpy()
        return unit_vectors(features)

    def close(self) -> None:
        """Let go of the network, and of what PyTorch keeps of the device for itself."""
        del self._encode_image, self._encode_text
        if self._compiles:
            torch.compiler.reset()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def accelerator_memory(self) -> DeviceMemory:
        """The memory of the GPU, as PyTorch tells it."""
        return AcceleratorMemory(lambda: int(torch.cuda.mem_get_info(self._device)[0]))

    def warm_up(self) -> None:
        """Run both towers once. Raises ConfigurationError where they do not run as they are to."""
        try:
            super().warm_up()
            if self.info.has_text_tower:
                self.embed_texts(["a photo"])
        except DeviceMemoryError as error:
            raise ConfigurationError(
                f"{self.info.display_name} does not fit into the memory of {self._device}."
            ) from error
        except ValueError as error:
            raise ConfigurationError(
                f"{self.info.display_name} gives no usable vectors in {self.info.precision}:"
                " set TRIPTYCH_PRECISION=fp32 (or bf16), or fetch its weights again."
            ) from error
        except Exception as error:  # the network is others' code, and so is what compiles it
            advice = "unset TRIPTYCH_COMPILE_MODEL" if self._compiles else "set TRIPTYCH_PRECISION=fp32"
            raise ConfigurationError(
                f"{self.info.display_name} does not run in {self.info.precision} on {self._device}"
                f" ({first_line(error)}): {advice}."
            ) from error


def choose_device(device: Device) -> str:
    """PyTorch's name of the device that was asked for. Raises ConfigurationError where it cannot be had."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.kind == "tensorrt":
        raise ConfigurationError(
            f"TRIPTYCH_DEVICE is {device}, but open_clip runs in PyTorch: export the model"
            " (`triptych models export NAME/TAG`) and set TRIPTYCH_MODEL=onnx:NAME/TAG, or set TRIPTYCH_DEVICE=cuda."
        )
    if device.kind == "cpu" or (device.kind == "auto" and not count):
        return "cpu"
    if device.index >= count:
        found = f"{count} CUDA devices" if count else "no CUDA device"
        raise ConfigurationError(
            f"TRIPTYCH_DEVICE is {device}, but PyTorch finds {found} here: set one that is there, or cpu."
        )
    return f"cuda:{device.index}"


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Tell that memory ran out in the words that callers know, once what was taken for nothing is given back."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise DeviceMemoryError(str(error)) from error
    except RuntimeError as error:
        if _CPU_OUT_OF_MEMORY not in str(error):
            raise
        raise DeviceMemoryError(str(error)) from error
