# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What goes into and comes out of the feature extractor: sound as callers have it (arrays, PCM, rows of `datasets`,
torchcodec's decoders) -> mono waveforms; spectrograms of different lengths -> batches.
"""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import PaddingStrategy, TensorType, logging

from .configuration_ssast import call_with_hook

logger = logging.get_logger(__name__)

PCM_SCALE = {torch.int8: 2**7, torch.uint8: 2**7, torch.int16: 2**15, torch.int32: 2**31}  # full scale of each type
LOUDEST = 1e12  # above, the power spectrum may be infinite in float32
LOUD = 32.0  # a float waveform above this is hardly sound in [-1, 1]


def states_its_rate(item) -> bool:
    """Whether `item` is a dict, as `datasets` gives sound, or a decoder, such as torchcodec's `AudioDecoder`."""
    return isinstance(item, Mapping) or hasattr(item, "get_all_samples")


def split_batch(raw_speech) -> list:
    """
    The sounds in what a feature extractor is called with: one sound, a sequence of sounds, or an array (batch,
    samples).

    Raises:
        ValueError: `raw_speech` is empty or none of these.
    """
    if states_its_rate(raw_speech):
        return [raw_speech]
    if getattr(getattr(raw_speech, "dtype", None), "kind", None) == "O":  # of waveforms of different lengths
        raw_speech = list(raw_speech)
    if isinstance(raw_speech, Sequence) and not isinstance(raw_speech, (str, bytes)):
        items = list(raw_speech)  # also a column of `datasets`, which decodes a row at each access
        if not items:
            raise ValueError("Found an empty list, expected at least one waveform.")
        first = items[0]
        nested = states_its_rate(first) or isinstance(first, (list, tuple)) or getattr(first, "ndim", 0) > 0
        return items if nested else [items]
    shape = getattr(raw_speech, "shape", None)
    if shape is None:
        raise ValueError(
            f"Found {type(raw_speech).__name__}, expected an array, a tensor, a dict with sound, or a list of them."
        )
    if len(shape) == 2 and shape[1] <= 8 < shape[0]:
        raise ValueError(f"Found shape {tuple(shape)}. {_mono_hint(shape)}")
    if len(shape) not in (1, 2):
        raise ValueError(f"Found shape {tuple(shape)}, expected (samples,) or (batch, samples), mono.")
    items = [raw_speech] if len(shape) == 1 else list(raw_speech)
    if not items:
        raise ValueError(f"Found an empty batch of shape {tuple(shape)}, expected at least one waveform.")
    return items


def read_waveforms(
    items: list, sampling_rate: int, minimum: int = 1, name: str = "Waveform {index}"
) -> list[torch.Tensor]:
    """
    Mono waveforms (samples,), float32, of sounds.

    Args:
        items (`list`): Each a waveform (samples,) at `sampling_rate`, as array, tensor or list: floats in [-1, 1] or
            PCM; or, resampled by soxr where its rate is another, `{"array" or "raw": waveform, "sampling_rate": Hz}`,
            `{"bytes": file's content, "path": name}` (`"bytes"` may be None), or a decoder of torchcodec.
        sampling_rate (`int`): Hz of the result.
        minimum (`int`): Samples that a waveform must have.
        name (`str`): What messages call a sound.

    Raises:
        ValueError: A sound is not mono, too short, not finite, or cannot be decoded; the message has its index.
        FileNotFoundError: There is no file at a `path`.
    """
    names = [name.replace("{index}", str(index)) for index in range(len(items))]
    waveforms = [_waveform(item, name, sampling_rate) for item, name in zip(items, names)]
    for name, waveform in zip(names, waveforms):
        if len(waveform) < minimum:
            raise ValueError(
                f"{name} has {len(waveform)} samples, expected at least {minimum}, one frame of "
                f"{1000 * minimum / sampling_rate:g} ms."
            )
    device = waveforms[0].device
    peaks = torch.stack([waveform.abs().max().to(device) for waveform in waveforms]).tolist()  # one wait for a GPU
    for name, peak in zip(names, peaks):
        if not math.isfinite(peak):
            raise ValueError(f"{name} has NaN or infinite samples, expected finite ones.")
        if peak > LOUDEST:
            raise ValueError(f"{name} peaks at {peak:.4g}, expected samples in [-1, 1].")
        if peak > LOUD:
            logger.warning(
                f"{name} peaks at {peak:.4g}, but float waveforms are expected in [-1, 1]: divide PCM "
                "that was converted to float by its full scale (32768 for 16 bits)."
            )
    return waveforms


def _waveform(item, name: str, sampling_rate: int) -> torch.Tensor:
    if hasattr(item, "get_all_samples"):  # torchcodec's, whose samples are (channels, samples)
        try:
            samples = item.get_all_samples()
        except RuntimeError as error:
            raise ValueError(f"{name} cannot be decoded: {str(error).partition(chr(10))[0]}") from error
        return _resample(samples.data.float().mean(dim=0), samples.sample_rate, sampling_rate, name)
    if not isinstance(item, Mapping):
        return _as_float(item, name)
    waveform = next((item[key] for key in ("array", "raw") if item.get(key) is not None), None)
    if waveform is not None:
        if item.get("sampling_rate") is None:
            raise ValueError(f"{name} is a dict without `sampling_rate`, expected the Hz of its samples.")
        return _resample(_as_float(waveform, name), item["sampling_rate"], sampling_rate, name)
    encoded = next((item[key] for key in ("bytes", "path") if item.get(key) is not None), None)
    if encoded is None:
        raise ValueError(
            f"{name} is a dict with {', '.join(map(str, sorted(item))) or 'nothing'}, expected `array` and "
            "`sampling_rate`, or the `bytes` or `path` of an encoded sound."
        )
    try:
        return torch.from_numpy(call_with_hook("decode", _decode, encoded, sampling_rate))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _as_float(item, name: str) -> torch.Tensor:
    """An array (samples,) as float32 in [-1, 1]."""
    try:
        waveform = item.detach() if torch.is_tensor(item) else torch.from_numpy(_native_array(item))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}; expected numbers, all of one waveform in one array.") from None
    if waveform.ndim != 1:
        raise ValueError(f"{name} has shape {tuple(waveform.shape)}. {_mono_hint(waveform.shape)}")
    if waveform.is_floating_point() or not len(waveform):
        return waveform.float()
    kind = waveform.dtype
    full = PCM_SCALE[torch.int16]
    if kind is torch.int64 and -full <= waveform.min() and waveform.max() <= full:
        kind = torch.int16
    if kind not in PCM_SCALE:
        raise ValueError(
            f"{name} is of {waveform.dtype}, expected floats in [-1, 1] or PCM as int8, uint8, int16 or int32."
        )
    scale = PCM_SCALE[kind]
    return (waveform.double() - (scale if kind is torch.uint8 else 0)).div(scale).float()


def _resample(waveform: torch.Tensor, rate: int, sampling_rate: int, name: str) -> torch.Tensor:
    """`waveform` (samples,) at `rate` Hz as `ssast_hf.load_audio` resamples: soxr, quality "HQ"."""
    if rate == sampling_rate:
        return waveform
    if isinstance(rate, str) or not math.isfinite(rate) or int(rate) != rate or rate <= 0:
        raise ValueError(f"{name} has the `sampling_rate` {rate!r}, expected a whole number of Hz.")
    try:
        import soxr
    except ImportError:
        raise ValueError(
            f"{name} is at {rate} Hz, expected {sampling_rate} Hz: resampling needs soxr (pip install soxr)."
        ) from None
    resampled = soxr.resample(waveform.cpu().numpy(), int(rate), sampling_rate, quality="HQ")
    return torch.from_numpy(resampled).to(waveform.device)


def _decode(source: str | bytes, sampling_rate: int) -> np.ndarray:
    """An encoded sound where the package is missing; where it is installed, `ssast_hf.load_audio` decodes."""
    try:
        import soundfile
    except ImportError:
        raise ValueError("decoding needs soundfile (pip install soundfile); or give the samples as an array") from None
    try:
        samples, rate = soundfile.read(
            io.BytesIO(source) if isinstance(source, bytes) else source, dtype="float32", always_2d=True
        )
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{error}; `ssast_hf.load_audio` reads more formats") from error
    return _resample(torch.from_numpy(samples.mean(axis=1)), rate, sampling_rate, "the sound").numpy()


def _native_array(item) -> np.ndarray:
    """A copy in this machine's byte order that may be written to, as torch wants it."""
    array = np.asarray(item)
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _mono_hint(shape) -> str:
    axis = 0 if len(shape) == 2 and shape[0] < shape[1] else 1
    return f"Expected mono, (samples,): mix channels down first, with waveform.mean({axis})."


def padding_strategy(padding) -> PaddingStrategy:
    if isinstance(padding, bool):
        return PaddingStrategy.LONGEST if padding else PaddingStrategy.DO_NOT_PAD
    return PaddingStrategy(padding)  # ValueError with the possible values


def padded_lengths(lengths: list[int], strategy: PaddingStrategy, max_length: int, multiple: int | None) -> list[int]:
    """Frames of each clip after padding."""
    if strategy is PaddingStrategy.DO_NOT_PAD:
        return list(lengths)
    longest = max(lengths)
    target = max_length if strategy is PaddingStrategy.MAX_LENGTH else longest
    if target < longest:
        raise ValueError(f"A clip has {longest} frames, more than max_length={target}, with truncation=False.")
    if multiple is not None:
        target = math.ceil(target / multiple) * multiple
    return [target] * len(lengths)


def as_tensors(outputs: dict[str, list[torch.Tensor]], return_tensors) -> BatchFeature:
    kind = None if return_tensors is None else TensorType(return_tensors)
    if kind not in (None, TensorType.PYTORCH, TensorType.NUMPY):
        raise ValueError(f"`return_tensors` is {return_tensors!r}, expected 'pt', 'np' or None.")
    if kind is None:
        return BatchFeature({name: [value.cpu().numpy() for value in values] for name, values in outputs.items()})
    lengths = {len(value) for value in outputs["input_values"]}
    if len(lengths) > 1:
        raise ValueError(
            f"Clips of {min(lengths)} to {max(lengths)} frames do not fit one tensor: use padding='longest' or "
            "'max_length', or return_tensors=None."
        )
    stacked = {name: torch.stack(values) for name, values in outputs.items()}
    if kind is TensorType.NUMPY:
        stacked = {name: value.cpu().numpy() for name, value in stacked.items()}
    return BatchFeature(stacked)


def as_columns(features) -> dict:
    """
    A dict of lists, or a list of dicts, as a dict of lists; None where a clip has no `attention_mask`. Raises
    ValueError for nothing, and for anything else that some clips have and others lack.
    """
    if not isinstance(features, (list, tuple)):
        return dict(features)
    if not features:
        raise ValueError("Found an empty list, expected the features of at least one clip.")
    names = dict.fromkeys(name for item in features for name in item)
    for name in names:
        lacking = [index for index, item in enumerate(features) if name not in item]
        if lacking and name != "attention_mask":
            raise ValueError(f"Clip {lacking[0]} has no `{name}`, which other clips have.")
    return {name: [item.get(name) for item in features] for name in names}


def ndim(item) -> int:
    return item.ndim if hasattr(item, "ndim") else 1 + ndim(item[0]) if isinstance(item, (list, tuple)) else 0


def as_tensor(item) -> torch.Tensor:
    """Without a copy where possible; what Python and NumPy have in 64 bits as float32."""
    tensor = item if torch.is_tensor(item) else torch.from_numpy(np.array(item))
    return tensor.float() if tensor.dtype is torch.float64 else tensor


def extended(values: torch.Tensor, length: int, fill: float) -> torch.Tensor:
    """`values` (n, *) with rows of `fill` behind, (length, *)."""
    return torch.cat([values, values.new_full((length - len(values), *values.shape[1:]), fill)])


def padded_masks(masks, lengths: list[int], targets: list[int], device: torch.device) -> list[torch.Tensor]:
    """Which frames are real, padded to `targets`: the given `masks` cut to `lengths`; without one, all of a clip's."""
    masks = [None] * len(lengths) if masks is None else masks
    masks = [torch.ones(length) if mask is None else mask for mask, length in zip(masks, lengths)]
    return [
        extended(as_tensor(mask)[:length].long().to(device), target, 0)
        for mask, length, target in zip(masks, lengths, targets)
    ]


def stacked(name: str, values, return_tensors):
    """Labels and the like as one array or tensor; as they are without `return_tensors`."""
    if return_tensors is None:
        return values
    try:
        tensor = torch.stack([as_tensor(value) for value in values])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"`{name}` does not fit one tensor: {error}") from None
    return tensor if TensorType(return_tensors) is TensorType.PYTORCH else tensor.numpy()
