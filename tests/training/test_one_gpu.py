# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretraining on one GPU, at a size for processors: packs, procedural sound, objectives, loop, judge."""

import json

import numpy as np
import pytest
import soundfile
import torch

from recipes.pretrain import judge, one_gpu
from ssast_hf import SSASTConfig, SSASTForPreTraining, SSASTModel, patchify
from ssast_hf.data import synth
from ssast_hf.feature_extraction_ssast import log_mel_filterbank
from ssast_hf.modeling_ssast import discriminative_loss, generative_loss
from ssast_hf.training import flat_corpus, packed
from ssast_hf.training.objectives import Learner, Weights, contrast, encode, instance_norm, match, take
from ssast_hf.training.spectrogram_augmentation import Augmentation, LogMel

SMALL = {
    "max_length": 128,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.05,
}


@pytest.fixture(scope="module")
def config() -> SSASTConfig:
    return SSASTConfig(position_embedding_init="sincos", **SMALL)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A corpus of tones that has been packed and unpacked, and its waveforms."""
    folder = tmp_path_factory.mktemp("packed")
    rows, waveforms = ["file,kind,group"], []
    for number, seconds in enumerate((2.0, 0.3, 12.0, 1.0)):
        time = np.arange(int(seconds * flat_corpus.RATE)) / flat_corpus.RATE
        waveforms.append(0.4 * np.sin(2 * np.pi * (300 + 200 * number) * time).astype(np.float32))
        soundfile.write(folder / f"{number}.wav", waveforms[-1], flat_corpus.RATE)
        rows.append(f"{number}.wav,{'speech' if number < 2 else 'music'},g{number % 2}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    shards = packed.pack(
        [str(folder / "list.csv")], folder / "shards", shard_seconds=3.0, folder_megabytes=0.02, workers=1
    )
    recordings = packed.unpack([folder / "shards"], folder / "flat", workers=1)
    return folder / "flat", shards, recordings, waveforms


def test_packs_come_back(flat):
    path, shards, recordings, waveforms = flat
    assert len(shards) == 2 and len({shard.parent for shard in shards}) == 2
    samples = np.load(path.with_suffix(".npy"))
    assert [r.samples for r in recordings] == [len(w) for w in waveforms]
    assert [(r.name, r.kind, r.group) for r in recordings[:2]] == [
        ("0.wav", "speech", "g0"),
        ("1.wav", "speech", "g1"),
    ]
    assert sum(r.samples for r in recordings) == len(samples)
    for recording, waveform in zip(recordings, waveforms):
        decoded = samples[recording.start : recording.start + recording.samples] / flat_corpus.FULL_SCALE
        assert np.corrcoef(decoded[800:-800], waveform[800:-800])[0, 1] > 0.9


def test_unpacking_an_empty_folder_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="holds no shards"):
        packed.unpack([tmp_path], tmp_path / "flat")


def test_crops_stay_in_recordings_that_hold_them_and_pairs_near_each_other(flat):
    corpus = flat_corpus.FlatCorpus.load(flat[0], weights={"speech": 0.5, "music": 0.5}, onsets=0.0)
    generator = torch.Generator().manual_seed(0)
    chosen = corpus.draw(4000, generator)
    assert float((corpus.kinds[chosen] == flat_corpus.KINDS.index("speech")).float().mean()) == pytest.approx(
        0.5, abs=0.03
    )
    span = torch.full((4000,), 8000)
    start = corpus.places(chosen, span, None, generator)
    near = corpus.places(chosen, span, start, generator)
    fits = corpus.lengths[chosen] >= 8000
    for place in (start, near):
        inside = (place >= corpus.starts[chosen]) & (place + 8000 <= corpus.starts[chosen] + corpus.lengths[chosen])
        assert bool((inside | ~fits).all())
    assert int((start - near).abs()[fits].max()) <= flat_corpus.NEARBY_SECONDS * flat_corpus.RATE
    whole = ~fits  # the crop holds them
    assert bool((start[whole] <= corpus.starts[chosen][whole]).all())


def test_speed_changes_pitch(flat):
    corpus = flat_corpus.FlatCorpus.load(flat[0])
    long = torch.tensor([flat[2][2].start + 1600])
    peaks = [
        int(torch.fft.rfft(corpus.cut(long, 16000, speed)[0]).abs().argmax())
        for speed in (None, torch.tensor([1.25]), torch.tensor([0.8]))
    ]
    assert peaks == [700, 875, 560]


def test_procedural_sound_depends_on_seed_and_index_alone():
    whole = synth.synthesize(3, torch.arange(12), 8000)
    assert whole.shape == (12, 8000) and bool(whole.isfinite().all()) and 0.04 < float(whole.abs().max()) <= 1
    torch.testing.assert_close(synth.synthesize(3, torch.tensor([7, 2]), 8000), whole[[7, 2]], rtol=0, atol=1e-4)
    assert float((synth.synthesize(4, torch.arange(12), 8000) - whole).abs().amax(1).min()) > 1e-3
    assert synth.pool(3, 12, 8000, batch=5).shape == (12, 8000)


def test_features_are_the_extractors():
    waveform = 0.1 * torch.randn(3, 9000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LogMel()(waveform), log_mel_filterbank(waveform))


def test_augmentation_that_is_off_changes_nothing():
    mel = torch.randn(8, 32, 128)
    clean, noisy = Augmentation(gain=0, tilt=0, mix=0, noise=0)(mel)
    assert torch.equal(clean, mel) and torch.equal(noisy, mel)
    clean, noisy = Augmentation(gain=0, tilt=0, mix=1, noise=1)(mel)
    assert torch.equal(clean, mel) and bool((noisy >= mel - 1e-5).all()) and not torch.equal(noisy, mel)


def test_an_encoder_of_all_patches_is_the_model(config):
    model = SSASTForPreTraining(config).eval()
    values = torch.randn(3, 64, 128)  # shorter than max_length: the centre of the position embeddings
    patches = patchify(values, config)
    order = torch.stack([torch.randperm(patches.shape[1]) for _ in range(3)])
    mask = model.sample_masks(values)
    with torch.no_grad():
        whole = model.ssast(values, output_hidden_states=True)
        hidden = encode(model.ssast, patches)
        torch.testing.assert_close(hidden[-1], whole.last_hidden_state, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(hidden[1], whole.hidden_states[1], rtol=1e-4, atol=1e-5)
        shuffled = encode(model.ssast, patches, order)[-1][:, 2:]
        torch.testing.assert_close(shuffled, take(hidden[-1][:, 2:], order), rtol=1e-4, atol=1e-5)
        masked = encode(model.ssast, patches, mask=mask)[-1]
        torch.testing.assert_close(
            masked, model.ssast(values, bool_masked_pos=mask).last_hidden_state, rtol=1e-4, atol=1e-5
        )


def test_the_losses_are_the_models():
    predictions, patches = torch.randn(2, 4, 20, 16)
    mask = torch.zeros(4, 20, dtype=torch.bool)
    mask[:, 5:15] = True
    loss, accuracy = match(predictions[:, 5:15], patches[:, 5:15])
    expected, expected_accuracy = discriminative_loss(predictions, patches, mask)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(accuracy, expected_accuracy)
    mean = torch.nn.functional.mse_loss(predictions[:, 5:15], patches[:, 5:15])
    torch.testing.assert_close(mean, generative_loss(predictions, patches, mask))


def test_contrast_leaves_out_the_same_recording():
    vectors = torch.eye(3)[[0, 0, 1, 0, 0, 1]]
    loss, accuracy = contrast(vectors, torch.tensor([5, 5, 6]), 0.1)
    assert float(accuracy) == 1 and float(loss) < 1e-3


@pytest.mark.parametrize(
    ("encoder", "weights"),
    [
        ("whole", Weights()),
        ("visible", Weights()),
        ("visible", Weights(mspm=0, clip=1)),
        ("visible", Weights(mspm=0, latent=1, utterance=1)),
        ("visible", Weights(mspm=1, latent=1, clip=1, source=1)),
    ],
)
def test_every_objective_learns(config, encoder, weights):
    torch.manual_seed(0)
    learner = Learner(config, weights, encoder, teacher_layers=2, sources=4)
    optimizer = torch.optim.AdamW(learner.trained(), lr=3e-3)
    waveforms = synth.pool(0, 4, 16000).float() / 32767
    mel = (LogMel()(waveforms.repeat(2, 1)) + 6) / 9
    recordings = sources = torch.arange(4)
    totals = []
    for step in range(30):
        losses = learner(mel, mel, recordings, sources, torch.Generator().manual_seed(step % 3))
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        learner.update_teacher(0.99)
        totals.append(losses["loss"].item())
    assert sum(totals[-3:]) < 0.95 * sum(totals[:3])


def test_instance_norm_is_torchs():
    hidden = 3 + 2 * torch.randn(3, 7, 5)
    expected = torch.nn.functional.instance_norm(hidden.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(instance_norm(hidden), expected)


def test_the_teacher_moves_towards_the_encoder(config):
    learner = Learner(config, Weights(mspm=0, latent=1))
    before = [parameter.clone() for parameter in learner.teacher.parameters()]
    with torch.no_grad():
        for parameter in learner.model.ssast.parameters():
            parameter.add_(1)
    learner.update_teacher(torch.tensor(0.75))
    for old, new in zip(before, learner.teacher.parameters()):
        torch.testing.assert_close(new, old + 0.25)


def test_parameters_without_a_loss_are_not_trained(config):
    learner = Learner(config, Weights(mspm=0, latent=1))
    learner(torch.randn(2, 64, 128), torch.randn(2, 64, 128), torch.arange(1))["loss"].backward()
    trained = {id(parameter) for parameter in learner.trained()}
    assert {id(p) for p in learner.parameters() if p.grad is not None} == trained


def test_a_run_saves_stops_goes_on_and_is_judged(flat, tmp_path, capsys):
    generator = np.random.default_rng(0)
    clips = (3000 * generator.standard_normal(40 * 6400)).astype(np.int16)
    rows = [
        {"task": "loud", "label": str(i % 2), "group": "", "fold": str(i % 4 // 2), "start": 6400 * i, "samples": 6400}
        for i in range(40)
    ]
    for row in rows[::2]:
        clips[row["start"] : row["start"] + 6400] //= 100
    pack = tmp_path / "tasks"
    pack.mkdir()
    np.save(pack / "clips.npy", clips)
    (pack / "index.json").write_text(json.dumps(rows))
    flags = [
        "--corpus",
        str(flat[0]),
        "--synth",
        "2",
        "--output_dir",
        str(tmp_path / "out"),
        "--layers",
        "2",
        "--columns",
        "2",
        "4",
        "--patches",
        "128",
        "--max_columns",
        "8",
        "--max_steps",
        "6",
        "--latent",
        "1",
        "--device",
        "cpu",
    ]
    assert one_gpu.main([*flags, "--stop_after", "0"]) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["step"] == 1
    assert one_gpu.main([*flags, "--resume", "--tasks", str(pack)]) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["step"] == 6
    assert "loud" in capsys.readouterr().out
    model = SSASTModel.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float16 and model.config.max_length == 128
    judged = json.loads((tmp_path / "out" / "judged.json").read_text())
    assert judged["model 2 rows C=0.05"]["loud"] == 1
    assert one_gpu.main([*flags, "--profile", "1"]) == 0
    assert "ms a step" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--graphs"):
        one_gpu.main([*flags, "--graphs"])


def test_the_regression_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 120)
    values = generator.standard_normal((120, 40)) + 0.7 * generator.standard_normal((3, 40))[labels]
    rows = [{"label": str(label), "fold": str(index % 2)} for index, label in enumerate(labels)]
    pairs = judge.divisions(rows, draws=2)
    expected = {0.05: [], 1.0: []}
    for train, test in pairs:
        own, other = ((values[part] - values[train].mean(0)) / values[train].std(0) for part in (train, test))
        for strength, found in expected.items():
            guessed = linear_model.LogisticRegression(C=strength, max_iter=2000).fit(own, labels[train]).predict(other)
            found.append(np.mean([(guessed[labels[test] == k] == k).mean() for k in range(3)]))
    scores = judge.Divided(rows, pairs, torch.device("cpu")).scores(torch.from_numpy(values), list(expected))
    assert scores == pytest.approx([np.mean(found) for found in expected.values()], abs=0.006)
