# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSAST's features: waveforms -> Kaldi log-mel filterbank -> normalised spectrograms (batch, frames, mel bins)."""

import math
from numbers import Integral, Real

import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import PaddingStrategy, TensorType, logging

from .batching import (
    as_columns,
    as_tensor,
    as_tensors,
    extended,
    ndim,
    padded_lengths,
    padded_masks,
    padding_strategy,
    read_waveforms,
    split_batch,
    stacked,
    states_its_rate,
)
from .configuration_ssast import FEATURE_EXTRACTOR_CODE, call_with_hook, save_code

logger = logging.get_logger(__name__)

FRAME_SECONDS = 0.025
SHIFT_SECONDS = 0.010
PREEMPHASIS = 0.97
LOWEST_FREQUENCY = 20.0  # Hz
# Bounds the memory for long recordings; on the CPU it also keeps the work in the cache, elsewhere launches few.
FRAMES_PER_CHUNK = {"cpu": 2**9, "other": 2**15}
FAR = 8  # times the extractor's `max_length` and the longest clip: then a `max_length` may be meant in samples
# Upper bounds of a feature extractor, which may be anyone's: Hz, mel bins, and frames (28 hours).
HIGHEST_RATE, MOST_MEL_BINS, LONGEST = 10**6, 2**12, 10**7


def mel(hertz: float) -> float:
    """A frequency on Kaldi's mel scale."""
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def mel_filters(num_mel_bins: int, sampling_rate: int, fft_length: int) -> torch.Tensor:
    """
    Triangular filters on Kaldi's mel scale, (fft_length // 2 + 1, num_mel_bins); low ones may be empty. In float32
    throughout, whose rounding the original's filters have.
    """
    lowest, highest = mel(LOWEST_FREQUENCY), mel(sampling_rate / 2)
    step = (highest - lowest) / (num_mel_bins + 1)
    index = torch.arange(num_mel_bins)
    left, centre, right = (lowest + (index + shift) * step for shift in (0.0, 1.0, 2.0))
    frequencies = torch.arange(fft_length // 2) * (sampling_rate / fft_length)
    mels = 1127.0 * (1.0 + frequencies / 700.0).log()[:, None]
    filters = torch.minimum((mels - left) / (centre - left), (right - mels) / (right - centre)).clamp(min=0)
    return torch.nn.functional.pad(filters, (0, 0, 0, 1))  # Kaldi leaves out the Nyquist bin


def log_mel_filterbank(
    waveform: torch.Tensor, num_mel_bins: int = 128, sampling_rate: int = 16000, max_frames: int | None = None
) -> torch.Tensor:
    """
    Kaldi's log-mel filterbank of a batch of equally long waveforms, as the original computes it with
    `torchaudio.compliance.kaldi.fbank(htk_compat=True, use_energy=False, window_type="hanning", dither=0)` on the
    waveform minus its mean (official: `_wav2fbank` in `src/dataloader.py`): 25 ms frames every 10 ms without padding
    at the ends, DC offset removed per frame, pre-emphasis 0.97, symmetric Hann window, power spectrum, 20 Hz to
    Nyquist, energies floored at float32's epsilon, natural logarithm.

    Args:
        waveform (`torch.FloatTensor` of shape `(batch, samples)`): Sound in [-1, 1], on any device.
        num_mel_bins (`int`), sampling_rate (`int`): Size of the filterbank, and Hz of the waveform.
        max_frames (`int`, *optional*): Compute no more frames than these.

    Returns:
        `torch.FloatTensor` of shape `(batch, frames, num_mel_bins)`, with no frames for less than 25 ms.
    """
    length, shift = int(sampling_rate * FRAME_SECONDS), int(sampling_rate * SHIFT_SECONDS)
    batch, samples = waveform.shape
    frames = num_frames(samples, sampling_rate)
    frames = frames if max_frames is None else min(frames, max_frames)
    if frames == 0:
        return waveform.new_zeros(batch, 0, num_mel_bins)
    fft_length = 2 ** math.ceil(math.log2(length))
    filters = mel_filters(num_mel_bins, sampling_rate, fft_length).to(waveform.device)
    window = torch.hann_window(length, periodic=False, device=waveform.device)
    waveform = waveform - waveform.mean(dim=1, keepdim=True)

    def chunk_features(first: int, last: int) -> torch.Tensor:
        chunk = waveform[:, first * shift : (last - 1) * shift + length].unfold(1, length, shift)
        chunk = chunk - chunk.mean(dim=2, keepdim=True)  # (batch, frames, length)
        previous = torch.cat([chunk[..., :1], chunk[..., :-1]], dim=2)
        emphasized = previous.mul_(-PREEMPHASIS).add_(chunk)  # in place: this step is limited by memory bandwidth
        spectrum = torch.fft.rfft(emphasized.mul_(window), n=fft_length)
        power = spectrum.real.square().add_(spectrum.imag.square())  # abs() would take a root in between
        return (power @ filters).clamp(min=torch.finfo(torch.float32).eps).log()

    step = max(1, FRAMES_PER_CHUNK["cpu" if waveform.device.type == "cpu" else "other"] // batch)
    return torch.cat([chunk_features(i, min(i + step, frames)) for i in range(0, frames, step)], dim=1)


def num_frames(samples: int, sampling_rate: int = 16000) -> int:
    """Number of whole frames in `samples` samples, as Kaldi counts them (`snip_edges`)."""
    length, shift = int(sampling_rate * FRAME_SECONDS), int(sampling_rate * SHIFT_SECONDS)
    return max(0, (samples - length) // shift + 1)


class SSASTFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Turns waveforms into normalised log-mel spectrograms, equal to what the original computes with torchaudio (which is
    not needed), on the device that the waveforms are on.

    Args:
        feature_size (`int`, defaults to 1): Values per sample of the waveform: mono.
        sampling_rate (`int`, defaults to 16000): Hz of the waveforms.
        num_mel_bins (`int`, defaults to 128): Mel bins.
        max_length (`int`, defaults to 1024): Frames (10 ms) to which spectrograms are padded or cut.
        padding_value (`float`, defaults to 0.0): Fills padded frames, before normalisation as in the original.
        do_normalize (`bool`, defaults to `True`): Whether to compute `(x - mean) / (2 * std)`.
        mean (`float`, defaults to -4.2677393), std (`float`, defaults to 4.5689974): Statistics of the training data,
            here AudioSet's and LibriSpeech's. ESC-50: -6.6268077, 5.358466. Speech Commands: -6.845978, 5.5654526.
        return_attention_mask (`bool`, *optional*): Whether to return which frames are real. Default: with every
            padding but `"max_length"`, whose padding the original model sees.
    """

    model_input_names = ["input_values", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        max_length: int = 1024,
        padding_value: float = 0.0,
        do_normalize: bool = True,
        mean: float = -4.2677393,
        std: float = 4.5689974,
        return_attention_mask: bool | None = None,
        **kwargs,
    ):
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value,
                         return_attention_mask=return_attention_mask, **kwargs)  # fmt: skip
        lowest_rate = round(1 / SHIFT_SECONDS)  # one sample from a frame to the next
        for name, value, least, most in (
            ("sampling_rate", sampling_rate, lowest_rate, HIGHEST_RATE),
            ("num_mel_bins", num_mel_bins, 1, MOST_MEL_BINS),
            ("max_length", max_length, 1, LONGEST),
        ):
            _require_count(name, value, least, most)
        for name, number in (("mean", mean), ("std", std), ("padding_value", padding_value)):
            if not isinstance(number, Real) or isinstance(number, bool) or not math.isfinite(number):
                raise ValueError(f"`{name}` is {number!r}, expected a finite number.")
        if std <= 0:
            raise ValueError(f"`std` is {std!r}, expected a number above 0.")
        if feature_size != 1 or self.padding_side != "right":
            raise ValueError(
                f"`feature_size` and `padding_side` are {feature_size!r} and {self.padding_side!r}, expected 1 (mono) "
                "and 'right'."
            )
        self.sampling_rate = int(sampling_rate)
        self.num_mel_bins = int(num_mel_bins)
        self.max_length = int(max_length)
        self.do_normalize = do_normalize
        self.mean = float(mean)
        self.std = float(std)

    @classmethod
    def get_feature_extractor_dict(cls, pretrained_model_name_or_path, **kwargs):
        load = super().get_feature_extractor_dict
        return call_with_hook("feature_extractor", load, pretrained_model_name_or_path, **kwargs)

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs):
        """As in transformers, with the code that loads the feature extractor elsewhere."""
        self.auto_map = {"AutoFeatureExtractor": "feature_extraction_ssast.SSASTFeatureExtractor"}
        save_code(save_directory, *FEATURE_EXTRACTOR_CODE)
        return super().save_pretrained(save_directory, push_to_hub, **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs):
        """As in transformers, without a model card: that comes with the model."""
        return call_with_hook("push", super().push_to_hub, repo_id, **kwargs)

    def __call__(
        self,
        raw_speech,
        sampling_rate: int | None = None,
        padding: bool | str | PaddingStrategy = "max_length",
        truncation: bool = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
        **kwargs,
    ) -> BatchFeature:
        """
        Args:
            raw_speech (`np.ndarray`, `torch.Tensor`, `list[float]`, `dict`, `AudioDecoder`, or a list of these):
                One mono waveform (samples,), or a batch: a list of waveforms or an array (batch, samples). Floats in
                [-1, 1], or PCM of 8 (signed, or unsigned around 128), 16 or 32 bits, which is scaled; 64-bit integers
                (lists of Python integers) are taken as 16-bit PCM. Tensors are processed on their device. Also what
                `datasets` gives, which is mixed to mono and resampled by soxr: `{"array": waveform, "sampling_rate":
                Hz}`, `{"bytes": file's content, "path": name}`, torchcodec's `AudioDecoder`.
            sampling_rate (`int`, *optional*):
                Hz of the waveforms. Give it: another rate than the extractor's is an error instead of nonsense. A
                dict or decoder states its own.
            padding (`bool` or `str`, defaults to `"max_length"`):
                `"max_length"` (as the original), `"longest"` or `True` (to the longest of the batch), `False` (none).
            truncation (`bool`, defaults to `True`):
                Whether to cut spectrograms to `max_length`.
            max_length (`int`, *optional*):
                Frames (10 ms); default the extractor's.
            pad_to_multiple_of (`int`, *optional*):
                Round the padded length up to a multiple, say a model's `time_patch_size`.
            return_attention_mask (`bool`, *optional*):
                Whether to return `attention_mask`; default see the class.
            return_tensors (`str`, *optional*):
                `"pt"` or `"np"`; by default a list with one array per clip.

        Returns:
            [`BatchFeature`]: `input_values` (batch, frames, mel bins), float32; `attention_mask` (batch, frames),
            int64, 1 for real frames and 0 for padding.

        Raises:
            ValueError: Wrong sampling rate, not mono, empty, shorter than 25 ms, or not finite; names the item.
        """
        items = split_batch(raw_speech)
        self._check_rate(sampling_rate, stated=all(map(states_its_rate, items)))
        if kwargs:
            raise ValueError(f"Unexpected argument(s) {', '.join(sorted(kwargs))}.")
        strategy = padding_strategy(padding)
        given, max_length = max_length, self._frames(max_length, pad_to_multiple_of)
        waveforms = read_waveforms(items, self.sampling_rate, int(self.sampling_rate * FRAME_SECONDS))
        features = self._filterbanks(waveforms, max_length if truncation else None)
        lengths = [len(feature) for feature in features]
        self._warn_of_samples(given, lengths)
        targets = padded_lengths(lengths, strategy, max_length, pad_to_multiple_of)
        outputs = self._padded(features, targets)
        if not self._returns_mask(return_attention_mask, strategy is not PaddingStrategy.MAX_LENGTH):
            del outputs["attention_mask"]
        return as_tensors(outputs, return_tensors)

    def _padded(self, features: list[torch.Tensor], targets: list[int]) -> dict[str, list[torch.Tensor]]:
        """Filterbanks (frames, mel bins) padded to `targets` frames and normalised, and the mask of real frames."""
        input_values, attention_mask = [], []
        for feature, target in zip(features, targets):
            padded = torch.nn.functional.pad(feature, (0, 0, 0, target - len(feature)), value=self.padding_value)
            input_values.append(padded.sub_(self.mean).div_(2 * self.std) if self.do_normalize else padded)
            attention_mask.append((torch.arange(target, device=feature.device) < len(feature)).long())
        return {"input_values": input_values, "attention_mask": attention_mask}

    def pad(
        self,
        processed_features,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
    ) -> BatchFeature:
        """
        Makes a batch of spectrograms of different lengths, as `DataCollatorWithPadding(extractor)` and
        `Trainer(processing_class=extractor)` ask for. Padding has the value that it has in the output of `__call__`.

        Args:
            processed_features (`list[dict]` or `dict[str, list]`):
                What `__call__` returned for each clip: `input_values` (frames, mel bins), and `attention_mask`
                (frames,) where there is one. Anything else, such as labels, is stacked. Waveforms (samples,) as
                `input_values` are padded as transformers does it, with `padding_value`.
            padding, max_length, pad_to_multiple_of, return_tensors:
                As for `__call__`. Without `return_tensors`, NumPy arrays, or tensors if the features are tensors; in
                a list where lengths differ.
            truncation (`bool`, defaults to `False`):
                Whether to cut spectrograms to `max_length`.
            return_attention_mask (`bool`, *optional*):
                Whether to return `attention_mask`. Default: the extractor's; where that is None, whether a clip comes
                with one or is padded here.

        Raises:
            ValueError: A spectrogram has another number of mel bins, is longer than `max_length` without
                `truncation`, or something does not fit one tensor.
        """
        columns = as_columns(processed_features)
        values = columns.get("input_values", [])
        if len(values) == 0 or ndim(values[0]) == 1:
            self._refuse_one_spectrogram(values)
            return super().pad(processed_features, padding, max_length, truncation, pad_to_multiple_of,
                               return_attention_mask, return_tensors)  # fmt: skip
        strategy = padding_strategy(padding)
        given, max_length = max_length, self._frames(max_length, pad_to_multiple_of)
        cut = slice(max_length if truncation else None)
        spectrograms = [self._spectrogram(item, index)[cut] for index, item in enumerate(values)]
        lengths = [len(spectrogram) for spectrogram in spectrograms]
        self._warn_of_samples(given, lengths)
        targets = padded_lengths(lengths, strategy, max_length, pad_to_multiple_of)
        outputs = {"input_values": [extended(*pair, self.normalized_padding_value)
                                    for pair in zip(spectrograms, targets)]}  # fmt: skip
        masks = columns.get("attention_mask")
        if self._returns_mask(return_attention_mask, masks is not None or lengths != targets):
            outputs["attention_mask"] = padded_masks(masks, lengths, targets, spectrograms[0].device)
        if return_tensors is None and len(set(targets)) == 1:
            return_tensors = "pt" if torch.is_tensor(values[0]) else "np"
        batch = as_tensors(outputs, return_tensors)
        for name in columns.keys() - {"input_values", "attention_mask"}:
            batch[name] = stacked(name, columns[name], return_tensors)
        return batch

    @property
    def normalized_padding_value(self) -> float:
        """What padding holds in the output: `padding_value`, normalised like everything else."""
        fill = torch.tensor(self.padding_value, dtype=torch.float32)
        return (fill.sub_(self.mean).div_(2 * self.std) if self.do_normalize else fill).item()

    def _spectrogram(self, item, index: int) -> torch.Tensor:
        tensor = as_tensor(item)
        if tensor.ndim != 2 or tensor.shape[1] != self.num_mel_bins:
            raise ValueError(
                f"`input_values` of clip {index} has shape {tuple(tensor.shape)}, expected (frames, "
                f"{self.num_mel_bins} mel bins)."
            )
        return tensor if tensor.is_floating_point() else tensor.float()

    def _refuse_one_spectrogram(self, values) -> None:
        """Raises ValueError for a spectrogram where a batch of them is expected: its frames are no waveforms."""
        if len(values) and all(len(row) == self.num_mel_bins for row in values):
            raise ValueError(
                f"`input_values` is one spectrogram ({len(values)} frames, {self.num_mel_bins} mel bins), expected a "
                "list of spectrograms."
            )

    def _returns_mask(self, asked: bool | None, default: bool) -> bool:
        return next(value for value in (asked, self.return_attention_mask, default) if value is not None)

    def _frames(self, max_length: int | None, pad_to_multiple_of: int | None) -> int:
        """`max_length`, by default the extractor's. Raises ValueError for what is no number of frames."""
        max_length = self.max_length if max_length is None else max_length
        for name, value in (("max_length", max_length), ("pad_to_multiple_of", pad_to_multiple_of)):
            if value is not None:
                _require_count(name, value)
        return max_length

    def _warn_of_samples(self, max_length: int | None, lengths: list[int]) -> None:
        """Warns of a `max_length` that looks like samples, which other feature extractors count."""
        if max_length is not None and max_length >= FAR * max(self.max_length, *lengths):
            frames = num_frames(max_length, self.sampling_rate)
            logger.warning_once(
                f"max_length={max_length} is in frames, {max_length * SHIFT_SECONDS:g} s; the extractor's is "
                f"{self.max_length} and the longest clip has {max(lengths)}."
                + (f" If {max_length} samples are meant: max_length={frames}." if frames else "")
            )

    def _check_rate(self, sampling_rate: int | None, stated: bool = False) -> None:
        """Raises ValueError for a rate that is not the extractor's; warns once where none is given or `stated`."""
        if sampling_rate is None:
            if stated:
                return
            logger.warning_once(
                "SSASTFeatureExtractor was called without `sampling_rate`: a waveform that is not at "
                f"{self.sampling_rate} Hz goes unnoticed and gives wrong results."
            )
        elif sampling_rate != self.sampling_rate:
            raise ValueError(
                f"The waveform is at {sampling_rate} Hz, expected {self.sampling_rate} Hz: give "
                f'{{"array": waveform, "sampling_rate": {sampling_rate}}}, which is resampled, or read the file by '
                "`ssast_hf.load_audio(path)`."
            )

    def _filterbanks(self, waveforms: list[torch.Tensor], max_frames: int | None) -> list[torch.Tensor]:
        """Filterbanks (frames, mel bins) of the waveforms; those of one length are computed as a batch."""
        groups: dict[tuple, list[int]] = {}
        for index, waveform in enumerate(waveforms):
            groups.setdefault((len(waveform), waveform.device), []).append(index)
        features: list[torch.Tensor | None] = [None] * len(waveforms)
        for indices in groups.values():
            batch = torch.stack([waveforms[index] for index in indices])
            batch = log_mel_filterbank(batch, self.num_mel_bins, self.sampling_rate, max_frames)
            for index, feature in zip(indices, batch):
                features[index] = feature
        return features


def _require_count(name: str, value, least: int = 1, most: float = math.inf) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise ValueError(f"`{name}` is {value!r}, expected a whole number of at least {least}.")
    if int(value) > most:
        raise ValueError(f"`{name}` is {value!r}, expected at most {most}.")


__all__ = ["SSASTFeatureExtractor"]
