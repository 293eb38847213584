# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForPreTraining,
    pipeline,
)

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForPreTraining,
    SSASTModel,
    patchify,
    unpatchify,
)
from ssast_hf.modeling_ssast import discriminative_loss, generative_loss, resize_positions

from .conftest import SMALL

AUTO = {
    SSASTModel: AutoModel,
    SSASTForAudioClassification: AutoModelForAudioClassification,
    SSASTForPreTraining: AutoModelForPreTraining,
}
CLASSES = list(AUTO)
GEOMETRIES = {  # all for 24 bins and 40 frames
    "patch": {"frequency_patch_size": 4, "time_patch_size": 4, "num_mask_patches": 40},  # F = 6, T = 10
    "frame": {"frequency_patch_size": 24, "time_patch_size": 2, "mask_cluster_min": 1, "mask_cluster_max": 1},  # 1, 20
    "overlapping": {"frequency_patch_size": 4, "time_patch_size": 4, "frequency_stride": 3, "time_stride": 3},  # 7, 13
}
LENGTHS = [40, 17, 9]  # real frames of the clips in most batches here


def build(cls, config, **fields):
    """A model in eval mode whose every parameter, position embeddings and biases too, makes a difference."""
    config = copy.deepcopy(config)
    for name, value in fields.items():
        setattr(config, name, value)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = cls(config).eval()
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def geometry(name, **fields):
    return SSASTConfig(**SMALL, **{"num_mel_bins": 24, "max_length": 40, **GEOMETRIES[name], **fields})


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_mask(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.6


def attention_mask(lengths=LENGTHS, frames=40):
    return (torch.arange(frames) < torch.tensor(lengths)[:, None]).long()


def inputs_of(cls, padded=True, labels=True):
    """A batch of three clips for any class of `config`."""
    inputs = {"input_values": noise(3, 40, 24)}
    if padded:
        inputs["attention_mask"] = attention_mask()
    if cls is SSASTForPreTraining:
        inputs["bool_masked_pos"] = random_mask(3, 60)
    if cls is SSASTForAudioClassification and labels:
        inputs["labels"] = torch.tensor([0, 1, 1])
    return inputs


def assert_same(found, expected, **tolerance):
    tensors = {name: value for name, value in expected.items() if torch.is_tensor(value)}
    assert tensors
    for name, value in tensors.items():
        assert_close(found[name], value, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """So tiny models run no faster on more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


@pytest.fixture
def warned(caplog):
    """Says what transformers warned of so far."""
    transformers.logging.enable_propagation()
    yield lambda: [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    transformers.logging.disable_propagation()


# ---------------------------------------------------------------------------------------------------------- patches


def test_patches_are_frequency_major_inside_and_out():
    config = SSASTConfig(
        **SMALL, num_mel_bins=4, max_length=6, frequency_patch_size=2, time_patch_size=3, num_mask_patches=1
    )
    mel, frame = torch.arange(4), torch.arange(6)
    spectrogram = (10 * mel[None, :] + frame[:, None])[None]  # the value in bin f of frame t is 10 f + t
    assert patchify(spectrogram, config)[0].tolist() == [
        [0, 1, 2, 10, 11, 12],
        [3, 4, 5, 13, 14, 15],
        [20, 21, 22, 30, 31, 32],
        [23, 24, 25, 33, 34, 35],
    ]


@pytest.mark.parametrize("name", ["patch", "frame"])
@pytest.mark.parametrize("frames", [4, 40, 47])
def test_unpatchify_undoes_patchify_but_for_frames_that_fill_no_patch(name, frames):
    config, spectrograms = geometry(name), noise(2, frames, 24)
    patches = patchify(spectrograms, config)
    assert patches.shape == (2, len(patches[0]), config.frequency_patch_size * config.time_patch_size)
    whole = frames - frames % config.time_patch_size
    assert torch.equal(unpatchify(patches, config), spectrograms[:, :whole])


@pytest.mark.parametrize("name", ["patch", "frame"])
def test_patch_embeddings_come_in_the_order_of_patchify(name):
    config, spectrograms = geometry(name), noise(2, 43, 24)
    embeddings = build(SSASTModel, config).embeddings.patch_embeddings
    weight, bias = embeddings.projection.weight.flatten(1), embeddings.projection.bias
    assert_close(embeddings(spectrograms), F.linear(patchify(spectrograms, config), weight, bias))


# ------------------------------------------------------------------------------------------------ position embeddings


def resized(positions, new_size):
    """The original's cut or interpolation of the first axis of (old, other, D), with torch's own interpolation."""
    old_size = len(positions)
    if new_size < old_size:
        start = old_size // 2 - new_size // 2  # official: int(p_t_dim / 2) - int(t_dim / 2)
        return positions[start : start + new_size]
    image = positions.permute(2, 0, 1)[None]
    size = (new_size, positions.shape[1])
    return F.interpolate(image, size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)


@pytest.mark.parametrize("old_size", [1, 7, 10])
@pytest.mark.parametrize("new_size", [1, 2, 5, 6, 7, 9, 10, 11, 16, 33])
def test_positions_are_cut_from_the_centre_or_interpolated(old_size, new_size):
    positions = noise(old_size, 3, 5)
    found = resize_positions(positions, old_size, new_size, torch.tensor([new_size]))
    assert_close(found[0], resized(positions, new_size))


@pytest.mark.parametrize("new_size", [9, 25])
def test_each_clip_of_a_batch_gets_the_positions_of_its_own_length(new_size):
    positions, lengths = noise(10, 3, 5), torch.tensor([1, 4, new_size - 1, min(new_size, 10), new_size])
    found = resize_positions(positions, 10, new_size, lengths)
    assert found.shape == (5, new_size, 3, 5)
    for row, length in zip(found, lengths.tolist()):
        assert_close(row[:length], resized(positions, length))


@pytest.mark.parametrize(
    "fields",
    [
        {"max_length": 21},
        {"max_length": 100},
        {"num_mel_bins": 20},
        {"num_mel_bins": 33, "max_length": 64},
        {"num_mel_bins": 33, "max_length": 12},
        {"frequency_stride": 2, "time_stride": 3},
        {"frequency_stride": 5, "time_stride": 3, "max_length": 25},
    ],
)
def test_both_axes_are_resized_and_the_special_tokens_kept(config, fields, tmp_path):
    build(SSASTModel, config).save_pretrained(tmp_path)
    before = SSASTModel.from_pretrained(tmp_path).embeddings.position_embeddings[0]
    model = SSASTModel.from_pretrained(tmp_path, **fields)
    rows, columns = model.config.patch_grid()
    by_time = resized(before[2:].unflatten(0, (6, 10)).transpose(0, 1), columns)
    expected = resized(by_time.transpose(0, 1), rows).flatten(0, 1)
    assert_close(model.embeddings.position_embeddings, torch.cat([before[:2], expected])[None])


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("frames", [12, 40, 75])
def test_an_unadapted_model_computes_what_one_adapted_to_the_length_does(name, frames, tmp_path):
    model = build(SSASTModel, geometry(name))
    model.save_pretrained(tmp_path)
    adapted = SSASTModel.from_pretrained(tmp_path, max_length=frames)
    assert_same(model(noise(2, frames, 24)), adapted(noise(2, frames, 24)), rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------- loading with other fields

CHANGES = [
    {"max_length": 80}, {"max_length": 21}, {"num_mel_bins": 32}, {"num_mel_bins": 13, "max_length": 64},
    {"frequency_stride": 3, "time_stride": 2},
]  # fmt: skip


@pytest.mark.parametrize(
    ("cls", "changes"),
    [(cls, changes) for cls in CLASSES for changes in CHANGES if (cls, changes) != (SSASTForPreTraining, CHANGES[-1])],
)
def test_every_way_of_giving_other_fields_loads_the_same_model(cls, config, changes, tmp_path, warned):
    """By keywords, by a config object, through the Auto classes; saved and loaded again; nothing newly initialised."""
    auto = AUTO[cls]
    original = build(cls, config)
    original.save_pretrained(tmp_path / "original")
    path = tmp_path / "original"
    target = SSASTConfig.from_pretrained(path, **changes)

    model, report = cls.from_pretrained(path, **changes, output_loading_info=True)
    assert not any(report.values())
    model.save_pretrained(tmp_path / "adapted")
    others = [
        cls.from_pretrained(path, config=target),
        auto.from_pretrained(path, **changes),
        auto.from_pretrained(path, config=target),
        cls.from_pretrained(tmp_path / "adapted"),
        auto.from_pretrained(tmp_path / "adapted"),
    ]
    inputs = {"input_values": noise(2, target.max_length, target.num_mel_bins)}
    if cls is SSASTForPreTraining:
        inputs["bool_masked_pos"] = random_mask(2, target.num_patches)
    with torch.no_grad():
        expected = model(**inputs)
        for other in others:
            assert type(other) is cls
            assert not other.training
            assert other.config.to_dict().items() >= {**changes, "num_mask_patches": target.num_mask_patches}.items()
            assert_same(other.state_dict(), model.state_dict(), rtol=0, atol=0)
            assert_same(other(**inputs), expected)
    assert target.to_dict().items() >= changes.items()  # what was given is left as it was
    fitted = {name for name in original.state_dict() if name.endswith("position_embeddings")}
    assert len(fitted) == 1
    for name in original.state_dict().keys() - fitted:
        assert torch.equal(model.state_dict()[name], original.state_dict()[name])
    assert warned() == []


def test_loading_with_unchanged_fields_changes_nothing(config, tmp_path):
    model = build(SSASTModel, config)
    model.save_pretrained(tmp_path)
    for given in ({"max_length": 40, "time_stride": 4}, {"config": config}, {}):
        loaded = SSASTModel.from_pretrained(tmp_path, **given)
        assert_same(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_a_keyword_beside_a_config_object_is_not_ignored(config, tmp_path):
    build(SSASTModel, config).save_pretrained(tmp_path)
    for auto in (SSASTModel, AutoModel):
        assert auto.from_pretrained(tmp_path, config=config, max_length=80).config.max_length == 80


def test_a_config_given_as_a_directory_is_followed(config, tmp_path):
    build(SSASTModel, config).save_pretrained(tmp_path / "model")
    SSASTConfig.from_pretrained(tmp_path / "model", max_length=80).save_pretrained(tmp_path / "config")
    model = SSASTModel.from_pretrained(tmp_path / "model", config=tmp_path / "config")
    assert_same(
        model.state_dict(), SSASTModel.from_pretrained(tmp_path / "model", max_length=80).state_dict(), rtol=0, atol=0
    )


@pytest.mark.parametrize("load", [SSASTModel.from_pretrained, AutoModel.from_pretrained])
@pytest.mark.parametrize("field", ["frequency_patch_size", "time_patch_size"])
def test_another_patch_shape_is_refused(config, load, field, tmp_path):
    build(SSASTModel, config).save_pretrained(tmp_path)
    for given in ({field: 3}, {"config": SSASTConfig.from_pretrained(tmp_path, **{field: 3})}):
        with pytest.raises(ValueError, match=f"`{field}` is 3, expected 4.*patch shape cannot"):
            load(tmp_path, **given)


@pytest.mark.parametrize("field", ["frequency_stride", "time_stride"])
def test_overlapping_patches_are_refused_in_pretraining(config, field, tmp_path):
    message = f"`{field}` is 2, expected 4"
    build(SSASTForPreTraining, config).save_pretrained(tmp_path)
    overlapping = SSASTConfig.from_pretrained(tmp_path, **{field: 2})
    for make in (
        lambda: SSASTForPreTraining(overlapping),
        lambda: SSASTForPreTraining.from_pretrained(tmp_path, **{field: 2}),
        lambda: SSASTForPreTraining.from_pretrained(tmp_path, config=overlapping),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    assert SSASTModel.from_pretrained(tmp_path, **{field: 2}).config.num_patches > 60


def test_an_encoder_or_classifier_takes_a_pretraining_checkpoint(config, tmp_path, warned):
    pretrained = build(SSASTForPreTraining, config)
    pretrained.save_pretrained(tmp_path)
    encoder = SSASTModel.from_pretrained(tmp_path)
    assert warned() == []
    classifier = SSASTForAudioClassification.from_pretrained(tmp_path, num_labels=5, max_length=80)
    assert len(warned()) == 1
    assert "classifier.dense.weight" in warned()[0]
    assert "head" not in warned()[0].replace("mlp_head", "")
    assert classifier(noise(2, 80, 24)).logits.shape == (2, 5)
    with torch.no_grad():
        assert_same(encoder(**inputs_of(SSASTModel)), pretrained.ssast(**inputs_of(SSASTModel)), rtol=0, atol=0)
        assert_same(
            classifier.ssast(noise(2, 80, 24)), SSASTModel.from_pretrained(tmp_path, max_length=80)(noise(2, 80, 24))
        )


# -------------------------------------------------------------------------------------------- Auto classes, pipelines


@pytest.fixture
def extractor():
    return SSASTFeatureExtractor(num_mel_bins=24, max_length=40)


def test_auto_classes_load_what_was_saved(cls, config, extractor, tmp_path):
    model = build(cls, config)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    loaded = AUTO[cls].from_pretrained(tmp_path)
    assert type(loaded) is cls
    assert type(AutoConfig.from_pretrained(tmp_path)) is SSASTConfig
    found = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert (type(found), found.to_dict()) == (SSASTFeatureExtractor, extractor.to_dict())
    inputs = inputs_of(cls)
    with torch.no_grad():
        assert_same(loaded(**inputs), model(**inputs), rtol=0, atol=0)


WAVEFORMS = [
    (0.1 * np.random.default_rng(i).standard_normal(n)).astype(np.float32) for i, n in enumerate((4000, 9000))
]


def test_the_classification_pipeline_equals_a_direct_call(config, extractor, tmp_path):
    config.id2label, config.label2id = {0: "rain", 1: "wind", 2: "sea"}, {"rain": 0, "wind": 1, "sea": 2}
    model = build(SSASTForAudioClassification, config)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    classify = pipeline("audio-classification", model=str(tmp_path))
    for waveform, found in zip(WAVEFORMS, classify(WAVEFORMS, top_k=3)):
        with torch.no_grad():
            logits = model(**extractor(waveform, sampling_rate=16000, return_tensors="pt")).logits
        expected = dict(zip(("rain", "wind", "sea"), logits.softmax(-1)[0].tolist()))
        assert {answer["label"]: answer["score"] for answer in found} == pytest.approx(expected, abs=1e-6)
        assert [answer["score"] for answer in found] == sorted(expected.values(), reverse=True)


def test_the_feature_pipeline_equals_a_direct_call(config, extractor, tmp_path):
    model = build(SSASTModel, config)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    embed = pipeline("feature-extraction", model=str(tmp_path))
    for waveform in WAVEFORMS:
        with torch.no_grad():
            inputs = extractor(waveform, sampling_rate=16000, padding=False, return_tensors="pt")
            expected = model(**inputs).last_hidden_state
        assert_close(embed(waveform, return_tensors=True), expected)
        assert_close(torch.tensor(embed({"array": waveform, "sampling_rate": 16000})), expected)
    for wrong, message in (
        ({"array": WAVEFORMS[0]}, "a dict without `sampling_rate`"),
        (np.zeros((2, 8000), dtype=np.float32), r"shape \(2, 8000\). Expected mono, \(samples,\)"),
        ({"array": np.zeros((8000, 2)), "sampling_rate": 8000}, "mix channels down"),
    ):
        with pytest.raises(ValueError, match=message):
            embed(wrong)


def test_the_feature_pipeline_can_be_what_is_imported_first():
    code = "from ssast_hf import SSASTFeatureExtractionPipeline"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------------------ padding in a batch

RAGGED = [([40, 17, 5], 40), ([30, 17, 4], 30), ([5, 17, 40, 41, 63, 80], 80)]  # frames of each clip, of the batch


def clip_alone(config, mask, index, length, frames):
    """The part of a batch's `bool_masked_pos` that is of one clip's real patches."""
    _, columns = config.patch_grid(frames)
    return mask.unflatten(1, (-1, columns))[index : index + 1, :, : config.num_time_patches(length)].flatten(1)


@pytest.mark.parametrize(("lengths", "frames"), RAGGED, ids=str)
@pytest.mark.parametrize("pooling", ["mean", "cls", "rows", "segments"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_clip_has_the_same_output_alone_and_padded(name, pooling, lengths, frames):
    """Of the encoder and the classifier, whatever is in the padding."""
    config = geometry(name, pooling=pooling)
    model = build(SSASTForAudioClassification, config)
    spectrograms = noise(len(lengths), frames, 24)
    with torch.no_grad():
        mask = attention_mask(lengths, frames)
        together = model.ssast(spectrograms, mask)
        logits = model(spectrograms, mask).logits
        hidden = together.last_hidden_state
        rows, columns = config.patch_grid(frames)
        for i, length in enumerate(lengths):
            alone = model.ssast(spectrograms[i : i + 1, :length])
            real = hidden[i, 2:].unflatten(0, (rows, columns))[:, : config.num_time_patches(length)].flatten(0, 1)
            assert_close(torch.cat([hidden[i, :2], real]), alone.last_hidden_state[0], rtol=0, atol=1e-5)
            assert_close(together.pooler_output[i], alone.pooler_output[0], rtol=0, atol=1e-5)
            assert_close(logits[i], model(spectrograms[i : i + 1, :length]).logits[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("lengths", "frames"), RAGGED, ids=str)
@pytest.mark.parametrize("name", ["patch", "frame"])
def test_a_clip_has_the_same_pretraining_losses_alone_and_padded(name, lengths, frames):
    config = geometry(name)
    model = build(SSASTForPreTraining, config)
    rows, columns = config.patch_grid(frames)
    spectrograms, mask = noise(len(lengths), frames, 24), random_mask(len(lengths), rows * columns)
    with torch.no_grad():
        together = model(spectrograms, attention_mask(lengths, frames), mask)
        for i, length in enumerate(lengths):
            given = clip_alone(config, mask, i, length, frames)
            alone = model(spectrograms[i : i + 1, :length], bool_masked_pos=given)
            padded = model(spectrograms[i : i + 1], attention_mask([length], frames), mask[i : i + 1])
            for loss in ("loss", "loss_discriminative", "loss_generative", "accuracy"):
                assert_close(padded[loss], alone[loss], rtol=1e-5, atol=1e-5)
            reconstruction = together.reconstruction[i].unflatten(0, (rows, columns))
            found = reconstruction[:, : config.num_time_patches(length)].flatten(0, 1)
            assert_close(found, alone.reconstruction[0], rtol=0, atol=1e-5)
            assert torch.equal(clip_alone(config, together.bool_masked_pos, i, length, frames), given)


def test_gradients_of_a_clip_are_the_same_alone_and_padded(config):
    model = build(SSASTForPreTraining, config)
    spectrograms, mask = noise(1, 80, 24), random_mask(1, 120)
    model(spectrograms, attention_mask([25], 80), mask).loss.backward()
    padded = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model(spectrograms[:, :25], bool_masked_pos=clip_alone(config, mask, 0, 25, 80)).loss.backward()
    for name, parameter in model.named_parameters():
        assert_close(padded[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_a_clip_shorter_than_a_patch_is_one_patch_of_it_and_its_padding(config):
    model = build(SSASTModel, config)
    spectrograms = noise(1, 40, 24)
    with torch.no_grad():
        expected = model(spectrograms[:, :4]).pooler_output
        for length in (0, 1, 3, 4):
            found = model(spectrograms, attention_mask([length])).pooler_output
            assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32])
def test_any_type_of_attention_mask_will_do(config, dtype):
    model, spectrograms = build(SSASTModel, config), noise(3, 40, 24)
    with torch.no_grad():
        expected = model(spectrograms, attention_mask())
        assert_same(model(spectrograms, attention_mask().to(dtype)), expected, rtol=0, atol=0)


def test_a_mask_without_padding_is_as_none(cls, config):
    model, inputs = build(cls, config), inputs_of(cls, padded=False)
    with torch.no_grad():
        padded = model(**inputs, attention_mask=torch.ones(3, 40))
        assert_same(padded, model(**inputs), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------- compilation, attention, checkpointing


@pytest.mark.parametrize("padded", [False, True])
def test_a_compiled_model_computes_the_same(cls, config, padded):
    """As one graph."""
    model, inputs = build(cls, config), inputs_of(cls, padded)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert_same(compiled(**inputs), model(**inputs), rtol=1e-5, atol=1e-5)


def test_one_graph_takes_clips_of_other_lengths(config):
    """The number of frames is a symbol then; masks are drawn in the graph, in training as well."""
    config.num_hidden_layers = 1
    model = build(SSASTForPreTraining, config).train()
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    for frames in (40, 33):
        inputs = {"input_values": noise(3, frames, 24), "attention_mask": attention_mask([frames, 9, 21], frames)}
        found = compiled(**inputs)
        expected = model(**inputs, bool_masked_pos=found.bool_masked_pos)
        assert_same(found, expected, rtol=1e-5, atol=1e-5)


def test_inductor_computes_the_same(config):
    model, inputs = build(SSASTModel, config), inputs_of(SSASTModel)
    torch.compiler.reset()
    with torch.no_grad():
        assert_same(torch.compile(model, fullgraph=True)(**inputs), model(**inputs), rtol=1e-4, atol=1e-5)


def test_inductor_trains_on_batches_of_other_sizes_and_lengths(config):
    """Forward and backward, each as one graph; the last batch of an epoch may be a single clip."""
    config.num_hidden_layers = 1
    model = build(SSASTForAudioClassification, config).train()
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    for batch, frames in ((3, 40), (1, 33)):
        inputs = {"input_values": noise(batch, frames, 24), "attention_mask": attention_mask([29] * batch, frames)}
        gradients = []
        for run in (compiled, model):
            model.zero_grad()
            run(**inputs, labels=torch.zeros(batch, dtype=torch.long)).loss.backward()
            gradients.append({name: value.grad for name, value in model.named_parameters()})
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("implementation", ["sdpa", "flex_attention"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")
def test_attention_implementations_agree(cls, config, implementation, padded):
    """Flex attention without its compiled kernels, which take a minute to make on a CPU."""
    inputs = inputs_of(cls, padded)
    config._attn_implementation = "eager"
    eager = build(cls, config)
    config._attn_implementation = implementation
    other = build(cls, config)
    assert (eager.config._attn_implementation, other.config._attn_implementation) == ("eager", implementation)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        found, expected = other(**inputs), eager(**inputs)
    assert_same(found, expected, rtol=1e-5, atol=2e-5)


def test_gradient_checkpointing_recomputes_layers_for_the_same_gradients(cls, config):
    model, inputs = build(cls, config).train(), inputs_of(cls)
    layers = getattr(model, "ssast", model).layers
    calls = []
    layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))

    def gradients():
        calls.clear()
        model.zero_grad()
        outputs = model(**inputs)
        (outputs.pooler_output.square().sum() if cls is SSASTModel else outputs.loss).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters()}, len(calls)

    expected, once = gradients()
    model.activation_checkpointing_enable()
    found, twice = gradients()
    assert (once, twice) == (1, 2)
    assert_same(found, expected, rtol=1e-5, atol=1e-6)


# -------------------------------------------------------------------------------------------------- outputs, precision


def test_hidden_states_and_attentions_have_one_entry_per_layer(cls, config):
    config._attn_implementation = "eager"
    model, inputs = build(cls, config), inputs_of(cls)
    bare = model(**inputs)
    assert bare.hidden_states is None
    assert bare.attentions is None
    outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
    assert [tuple(state.shape) for state in outputs.hidden_states] == [(3, 62, 32)] * 3
    assert [tuple(weights.shape) for weights in outputs.attentions] == [(3, 4, 62, 62)] * 2
    encoder = getattr(model, "ssast", model)
    mask = outputs.get("bool_masked_pos")
    last = encoder(inputs["input_values"], inputs["attention_mask"], mask).last_hidden_state
    assert_close(encoder.layernorm(outputs.hidden_states[-1]), last)
    padding = (torch.arange(10) >= torch.tensor([10, 4, 2])[:, None]).repeat(1, 6)
    for weights in outputs.attentions:
        assert_close(weights.sum(dim=-1), torch.ones(3, 4, 62))
        assert (weights[..., 2:].transpose(1, 3)[padding] == 0).all()


def test_outputs_come_as_a_tuple_on_request(cls, config):
    config._attn_implementation = "eager"
    model, inputs = build(cls, config), inputs_of(cls)
    for more in ({}, {"output_hidden_states": True, "output_attentions": True}):
        outputs, found = model(**inputs, **more), model(**inputs, **more, return_dict=False)
        assert type(found) is tuple
        assert len(found) == len(outputs.to_tuple()) == len(outputs)
        for value, expected in zip(found, outputs.to_tuple()):
            assert_close(value, expected)


def test_a_configuration_can_ask_for_tuples(cls, config):
    model, inputs = build(cls, config), inputs_of(cls)
    expected = model(**inputs).to_tuple()
    model.config.return_dict = False
    found = model(**inputs)
    assert type(found) is tuple
    assert len(found) == len(expected)
    for value, same in zip(found, expected):
        assert_close(value, same)


def test_without_labels_or_on_request_there_is_no_loss(config):
    inputs = inputs_of(SSASTForAudioClassification, labels=False)
    assert set(build(SSASTForAudioClassification, config)(**inputs)) == {"logits"}
    model, inputs = build(SSASTForPreTraining, config), inputs_of(SSASTForPreTraining)
    found = model(**inputs, return_loss=False)
    assert set(found) == {"reconstruction", "bool_masked_pos"}
    assert_same(found, {name: model(**inputs)[name] for name in found})


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_half_precision_is_close(cls, config, dtype, tolerance):
    """Given the float32 that the feature extractor gives, too."""
    model, inputs = build(cls, config), inputs_of(cls)
    with torch.no_grad():
        expected = model(**inputs)
        model.to(dtype)
        for given in (inputs["input_values"], inputs["input_values"].to(dtype)):
            found = model(**{**inputs, "input_values": given})
            for name, value in expected.items():
                if value.is_floating_point() and name != "accuracy":
                    assert found[name].isfinite().all()
                    assert (found[name].float() - value).norm() < tolerance * value.norm()
                    print(name, dtype, (found[name].float() - value).norm() / value.norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pretraining_losses_are_computed_in_float32(config, dtype):
    """From what the heads gave in half precision; under autocast, too."""
    model, inputs = build(SSASTForPreTraining, config), inputs_of(SSASTForPreTraining)
    patches = patchify(inputs["input_values"], config)
    for autocast in (True, False):
        with torch.autocast("cpu", dtype, enabled=autocast):
            outputs = (model if autocast else model.to(dtype))(**inputs)
        assert outputs.reconstruction.dtype == dtype
        assert {outputs[name].dtype for name in outputs if name.startswith("loss")} == {torch.float32}
        error = (outputs.reconstruction.double() - patches).square().mean(dim=-1)[outputs.bool_masked_pos].mean()
        assert_close(outputs.loss_generative.double(), error, rtol=1e-5, atol=0)
        outputs.loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
        model.zero_grad()


# --------------------------------------------------------------------------------------------------------- bad inputs


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "`input_values` is missing"),
        ({"input_values": noise(40, 24)}, r"has shape \(40, 24\), expected \(batch, frames, 24 mel bins\)"),
        ({"input_values": noise(2, 1, 40, 24)}, r"has shape \(2, 1, 40, 24\), expected \(batch, frames, 24"),
        ({"input_values": noise(2, 24, 40)}, r"has shape \(2, 24, 40\), expected \(batch, frames, 24 mel bins\)"),
        ({"input_values": noise(2, 3, 24)}, "has 3 frames, expected at least one patch of 4 .*pad_to_multiple_of=4"),
        ({"attention_mask": torch.ones(2, 39)}, r"`attention_mask` has shape \(2, 39\), expected .*\(2, 40\)"),
        ({"attention_mask": torch.ones(40)}, r"`attention_mask` has shape \(40,\), expected .*\(2, 40\)"),
        ({"attention_mask": torch.ones(1, 40)}, r"`attention_mask` has shape \(1, 40\), expected .*\(2, 40\)"),
        ({"bool_masked_pos": random_mask(2, 59)}, r"`bool_masked_pos` has shape \(2, 59\), expected .*\(2, 60\)"),
        (
            {"bool_masked_pos": random_mask(2, 6, 10)},
            r"`bool_masked_pos` has shape \(2, 6, 10\), expected .*\(2, 60\)",
        ),
        ({"bool_masked_pos": random_mask(60)}, r"`bool_masked_pos` has shape \(60,\), expected .*\(2, 60\)"),
    ],
)
def test_inputs_of_the_wrong_shape_are_refused(cls, config, inputs, message):
    if "bool_masked_pos" in inputs and cls is SSASTForAudioClassification:
        cls = SSASTModel
    if inputs and "input_values" not in inputs:
        inputs = {"input_values": noise(2, 40, 24), **inputs}
    with pytest.raises(ValueError, match=message):
        cls(config)(**inputs)


def test_any_type_of_masked_positions_will_do(config):
    model, mask = build(SSASTForPreTraining, config).ssast, random_mask(3, 60)
    with torch.no_grad():
        expected = model(noise(3, 40, 24), bool_masked_pos=mask).last_hidden_state
        assert torch.equal(model(noise(3, 40, 24), bool_masked_pos=mask.long()).last_hidden_state, expected)


def test_masked_positions_need_a_mask_token(config):
    inputs = {"input_values": noise(2, 40, 24), "bool_masked_pos": random_mask(2, 60)}
    with pytest.raises(ValueError, match="use_mask_token=True"):
        SSASTModel(config)(**inputs)
    torch.manual_seed(0)
    model = SSASTModel(config, use_mask_token=True).eval()
    masked, other = (model(**{**inputs, "bool_masked_pos": mask}).pooler_output for mask in (random_mask(2, 60), None))
    assert not torch.allclose(masked, other)


def test_what_was_in_a_masked_patch_makes_no_difference(config):
    model, inputs = build(SSASTForPreTraining, config), inputs_of(SSASTForPreTraining, padded=False)
    patches = patchify(inputs["input_values"], config)
    patches = torch.where(inputs["bool_masked_pos"][..., None], 9.0, patches)
    with torch.no_grad():
        expected = model(**inputs).reconstruction
        found = model(**{**inputs, "input_values": unpatchify(patches, config)}).reconstruction
    assert_close(found, expected, rtol=0, atol=0)


# ---------------------------------------------------------------------------------------------------- pretraining loss


def naive_losses(predictions, reconstruction, patches, mask):
    """Clip by clip and patch by patch: InfoNCE, accuracy and mean squared error over all masked patches."""
    losses, right, errors = [], [], []
    for c, r, x, m in zip(predictions, reconstruction, patches, mask):
        masked = m.nonzero().flatten().tolist()
        matches = []  # softmax over the predictions, for each true patch
        for i in masked:
            similarity = torch.stack([x[i] @ c[j] for j in masked])
            matches.append(similarity.softmax(dim=0))
            losses.append(similarity.logsumexp(dim=0) - x[i] @ c[i])
            errors.append((r[i] - x[i]).square().mean())
        for j in range(len(masked)):
            right.append(max(range(len(masked)), key=lambda i, j=j, matches=matches: matches[i][j].item()) == j)
    return torch.stack(losses).mean(), sum(right) / len(right), torch.stack(errors).mean()


@pytest.mark.parametrize("counts", [[12, 5, 1], [7, 0, 2], [1, 1, 1]])
def test_losses_equal_a_naive_loop(counts):
    """In float64, for clips with different numbers of masked patches, of which every one counts the same."""
    patches, predictions, reconstruction = (noise(3, 12, 6, seed=seed).double() for seed in range(3))
    predictions = predictions + 0.5 * patches  # so that some are matched
    mask = noise(3, 12).argsort(dim=1).argsort(dim=1) < torch.tensor(counts)[:, None]
    loss, accuracy = discriminative_loss(predictions, patches, mask)
    expected_loss, expected_accuracy, expected_error = naive_losses(predictions, reconstruction, patches, mask)
    assert_close(loss, expected_loss, rtol=1e-12, atol=1e-14)
    assert accuracy.item() == pytest.approx(expected_accuracy, abs=1e-6)
    assert_close(generative_loss(reconstruction, patches, mask), expected_error, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["patch", "frame"])
def test_the_models_losses_equal_a_naive_loop(name):
    config = geometry(name, discriminative_loss_weight=0.7, generative_loss_weight=3.0)
    model = build(SSASTForPreTraining, config)
    spectrograms, mask, ragged = noise(3, 40, 24), random_mask(3, config.num_patches), attention_mask()
    outputs = model(spectrograms, ragged, mask)
    real = torch.arange(40 // config.time_patch_size) < torch.tensor(LENGTHS)[:, None] // config.time_patch_size
    assert torch.equal(outputs.bool_masked_pos, mask & real.repeat(1, config.num_frequency_patches))
    hidden = model.ssast(spectrograms, ragged, mask).last_hidden_state[:, 2:]
    predictions, reconstruction, patches = (
        values.double()
        for values in (
            model.discriminative_head(hidden),
            model.generative_head(hidden),
            patchify(spectrograms, config),
        )
    )
    loss, accuracy, error = naive_losses(predictions, reconstruction, patches, outputs.bool_masked_pos)
    assert_close(outputs.loss_discriminative.double(), loss, rtol=1e-5, atol=0)
    assert_close(outputs.loss_generative.double(), error, rtol=1e-5, atol=0)
    assert_close(outputs.loss.double(), 0.7 * loss + 3.0 * error, rtol=1e-5, atol=0)
    assert outputs.accuracy.item() == pytest.approx(accuracy, abs=1e-6)


def test_a_clip_without_masked_patches_keeps_all_finite(config):
    model, inputs = build(SSASTForPreTraining, config), inputs_of(SSASTForPreTraining)
    inputs["bool_masked_pos"][1] = False
    outputs = model(**inputs)
    others = [0, 2]
    expected = model(**{name: value[others] for name, value in inputs.items()})
    for loss in ("loss", "loss_discriminative", "loss_generative", "accuracy"):
        assert_close(outputs[loss], expected[loss])
    outputs.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    inputs["bool_masked_pos"][:] = False
    outputs = model(**inputs)
    outputs.loss.backward()
    assert outputs.loss == outputs.accuracy == 0
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("off", "on", "weight"), [("discriminative", "generative", 10.0), ("generative", "discriminative", 1.0)]
)
def test_a_weight_of_0_switches_one_loss_off(config, off, on, weight):
    model = build(SSASTForPreTraining, config, **{f"{off}_loss_weight": 0.0})
    outputs = model(**inputs_of(SSASTForPreTraining))
    assert_close(outputs.loss, weight * outputs[f"loss_{on}"], rtol=0, atol=0)
    assert outputs[f"loss_{off}"] > 0
    outputs.loss.backward()
    assert all(parameter.grad is None for parameter in getattr(model, f"{off}_head").parameters())
    assert all(parameter.grad.any() for parameter in getattr(model, f"{on}_head").parameters())


def test_padding_is_never_masked_nor_scored(config):
    model, spectrograms = build(SSASTForPreTraining, config), noise(3, 40, 24)
    real = (torch.arange(10) < torch.tensor([10, 4, 2])[:, None]).repeat(1, 6)
    everywhere = model(spectrograms, attention_mask(), torch.ones(3, 60))
    assert torch.equal(everywhere.bool_masked_pos, real)
    assert_same(everywhere, model(spectrograms, attention_mask(), real), rtol=0, atol=0)
    loud = torch.where(attention_mask()[..., None] == 1, spectrograms, 100.0)
    for loss in ("loss", "accuracy"):
        assert_close(model(loud, attention_mask(), torch.ones(3, 60))[loss], everywhere[loss])
    for seed in range(10):
        drawn = model(spectrograms, attention_mask(), generator=torch.Generator().manual_seed(seed)).bool_masked_pos
        assert not (drawn & ~real).any()


@pytest.mark.parametrize("num_mask_patches", [1, 23, 40, 59, 60])
def test_clips_of_any_length_have_the_same_share_masked(num_mask_patches):
    """Exactly `num_mask_patches` of `max_length` frames, at least one of the shortest, the same alone and padded."""
    model = SSASTForPreTraining(geometry("patch", num_mask_patches=num_mask_patches))
    lengths = [40, 43, 17, 9, 4, 60, 80]
    padded = model.sample_masks(noise(7, 80, 24), attention_mask(lengths, 80)).sum(dim=1).tolist()
    alone = [model.sample_masks(noise(2, length, 24)).sum(dim=1).tolist() for length in lengths]
    assert padded[:2] == [num_mask_patches] * 2
    assert alone == [[count, count] for count in padded]
    for length, count in zip(lengths, padded):
        share = num_mask_patches * (length // 4) / 10
        assert abs(count - share) <= 0.5 or (count == 1 and share < 1)


def test_the_generator_makes_pretraining_reproducible(config):
    model, spectrograms = build(SSASTForPreTraining, config), noise(2, 40, 24)
    first, again, other = (model(spectrograms, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert_same(again, first, rtol=0, atol=0)
    assert not torch.equal(other.bool_masked_pos, first.bool_masked_pos)
    assert_same(model(spectrograms, bool_masked_pos=first.bool_masked_pos), first, rtol=0, atol=0)
    torch.manual_seed(0)
    one, two = (model(spectrograms).bool_masked_pos for _ in range(2))
    assert not torch.equal(one, two)


# ------------------------------------------------------------------------------------------------------ classification


@pytest.mark.parametrize("given", [True, False], ids=["given", "inferred"])
@pytest.mark.parametrize(
    ("problem_type", "labels", "loss"),
    [
        ("single_label_classification", torch.tensor([2, 0, 1]), F.cross_entropy),
        ("multi_label_classification", random_mask(3, 3).float(), F.binary_cross_entropy_with_logits),
        ("regression", noise(3), lambda logits, labels: F.mse_loss(logits[:, 0], labels)),
    ],
    ids=["single", "multi", "regression"],
)
def test_the_loss_is_that_of_the_problem_type(config, given, problem_type, labels, loss):
    config.num_labels = 1 if problem_type == "regression" else 3
    config.problem_type = problem_type if given else None
    model = build(SSASTForAudioClassification, config)
    outputs = model(noise(3, 40, 24), attention_mask(), labels=labels)
    assert outputs.logits.shape == (3, config.num_labels)
    assert_close(outputs.loss, loss(outputs.logits, labels))


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification", "regression"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_of_any_type_of_integer_will_do(config, problem_type, dtype):
    config.num_labels, config.problem_type = 3, problem_type
    model = build(SSASTForAudioClassification, config)
    labels = torch.tensor([1, 0, 2] if problem_type.startswith("single") else [[0, 1, 1], [1, 0, 0], [0, 0, 1]])
    with torch.no_grad():
        found = model(noise(3, 40, 24), labels=labels.to(dtype)).loss
        exact = model(noise(3, 40, 24), labels=labels if problem_type.startswith("single") else labels.float()).loss
    assert found == exact


def test_regression_of_several_values_needs_the_problem_type(config):
    config.num_labels, config.problem_type = 3, "regression"
    outputs = build(SSASTForAudioClassification, config)(noise(3, 40, 24), labels=noise(3, 3))
    assert_close(outputs.loss, F.mse_loss(outputs.logits, noise(3, 3)))


def test_logits_are_a_layer_norm_and_a_linear_layer_of_the_pooled_output(config):
    model = build(SSASTForAudioClassification, config)
    pooled = model.ssast(noise(3, 40, 24), attention_mask()).pooler_output
    head = model.classifier
    normed = F.layer_norm(pooled, (32,), head.layernorm.weight, head.layernorm.bias, eps=1e-5)
    expected = F.linear(normed, head.dense.weight, head.dense.bias)
    assert_close(model(noise(3, 40, 24), attention_mask()).logits, expected)


@pytest.mark.parametrize("load", [SSASTForAudioClassification, AutoModelForAudioClassification])
def test_the_number_of_labels_can_be_given_when_loading(config, load, tmp_path):
    build(SSASTModel, config).save_pretrained(tmp_path)
    model = load.from_pretrained(tmp_path, num_labels=35)
    assert len(model.config.id2label) == 35
    assert model(noise(2, 40, 24)).logits.shape == (2, 35)


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("cls", [SSASTForPreTraining, SSASTForAudioClassification])
def test_training_lowers_the_loss(cls, config):
    """30 steps on one batch, from the initial weights: each loss to less than 3/4."""
    torch.manual_seed(0)
    model = cls(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for _ in range(31):
        outputs = model(**inputs_of(cls))
        history.append({name: value.item() for name, value in outputs.items() if name.startswith("loss")})
        optimizer.zero_grad()
        outputs.loss.backward()
        optimizer.step()
    assert len(history[0]) == (3 if cls is SSASTForPreTraining else 1)
    for name, first in history[0].items():
        assert history[-1][name] < 0.75 * first


def test_every_parameter_is_trained(cls, config):
    model = build(cls, config).train()
    outputs = model(**inputs_of(cls))
    (outputs.pooler_output.square().sum() if cls is SSASTModel else outputs.loss).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


def test_positions_begin_as_sines_and_cosines_where_the_config_says_so(config):
    config.position_embedding_init = "sincos"
    model = SSASTForPreTraining(config)
    positions = model.ssast.embeddings.position_embeddings[0].detach().numpy()
    rows, columns = config.patch_grid()
    quarter = config.hidden_size // 4
    for row in range(rows):
        for column in range(columns):
            for index in range(quarter):
                found = positions[2 + row * columns + column][index::quarter]
                angles = np.array([row, column]) / 10000 ** (index / quarter)
                expected = [np.sin(angles[0]), np.cos(angles[0]), np.sin(angles[1]), np.cos(angles[1])]
                np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0 < np.abs(positions[:2]).max() < 0.1  # of the special tokens: drawn, as ever


def test_rows_are_pooled_one_by_one(config):
    """Against the mean over time of each row, in a loop; a checkpoint of mean pooling leaves a new classifier."""
    config.pooling = "rows"
    model = build(SSASTForAudioClassification, config)
    outputs = model.ssast(noise(2, 40, 24))
    rows, columns = config.patch_grid()
    expected = [
        torch.cat([clip[2 + row * columns : 2 + (row + 1) * columns].mean(dim=0) for row in range(rows)])
        for clip in outputs.last_hidden_state
    ]
    assert_close(outputs.pooler_output, torch.stack(expected), rtol=0, atol=1e-6)
    assert outputs.pooler_output.shape == (2, config.pooled_size) == (2, rows * config.hidden_size)
    assert model.classifier.dense.in_features == model.classifier.layernorm.normalized_shape[0] == config.pooled_size


@pytest.mark.parametrize(
    ("steps", "weights"),
    [
        (1, [[1], [1], [1]]),
        (3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (6, [[0.5, 0.375, 0.125, 0, 0, 0], [0, 0.125, 0.375, 0.375, 0.125, 0], [0, 0, 0, 0.125, 0.375, 0.5]]),
    ],
)
def test_segments_are_pooled_one_by_one(config, steps, weights):
    """By hand: thirds, of which a step at the border of two counts for both by its distance from their centres."""
    config.pooling = "segments"
    model = build(SSASTModel, config)
    outputs = model(noise(2, config.time_patch_size * steps, 24))
    patches = outputs.last_hidden_state[:, 2:].unflatten(1, (config.num_frequency_patches, steps))
    expected = [
        sum(weight * patches[:, row, step] for step, weight in enumerate(part))
        for part in weights for row in range(config.num_frequency_patches)
    ]  # fmt: skip
    assert_close(outputs.pooler_output, torch.cat(expected, dim=1), rtol=0, atol=0.01)
    assert outputs.pooler_output.shape == (2, config.pooled_size)
    assert config.pooled_size == 3 * config.num_frequency_patches * config.hidden_size


def test_a_classifier_of_another_pooling_is_replaced(config, tmp_path):
    build(SSASTForAudioClassification, config).save_pretrained(tmp_path)
    model, info = SSASTForAudioClassification.from_pretrained(
        tmp_path, pooling="rows", ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert {name for name, *_ in info["mismatched_keys"]} == {
        "classifier.layernorm.weight", "classifier.layernorm.bias", "classifier.dense.weight"
    }  # fmt: skip
    assert model.classifier.dense.in_features == config.num_frequency_patches * config.hidden_size
    assert SSASTModel.from_pretrained(tmp_path, pooling="rows").config.pooling == "rows"


def test_the_classifiers_layer_norm_can_be_left_out(config, tmp_path):
    config.classifier_layer_norm = False
    model = build(SSASTForAudioClassification, config)
    assert {name for name in model.state_dict() if "classifier" in name} == {
        "classifier.dense.weight", "classifier.dense.bias"
    }  # fmt: skip
    model.save_pretrained(tmp_path)
    loaded = SSASTForAudioClassification.from_pretrained(tmp_path).eval()
    spectrograms = noise(2, 40, 24)
    with torch.no_grad():
        pooled = model.ssast(spectrograms).pooler_output
        assert_close(loaded(spectrograms).logits, model.classifier.dense(pooled))
