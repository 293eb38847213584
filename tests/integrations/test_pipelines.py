# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pipelines: this package's classes for SSAST, transformers' own for everything else."""

import http.server
import json
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors.torch import save_file
from transformers import (
    AudioClassificationPipeline,
    BertConfig,
    BertModel,
    BertTokenizer,
    FeatureExtractionPipeline,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    pipeline,
)

from ssast_hf import (
    SSASTAudioClassificationPipeline,
    SSASTFeatureExtractionPipeline,
    SSASTFeatureExtractor,
    SSASTModel,
    load_audio,
)
from ssast_hf.integrations.pipelines import as_sound
from tests.hub.client import run_python

CROW = Path(__file__).parents[1] / "data/sounds/misc_crow.flac"  # 44.1 kHz


@pytest.fixture
def bert(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sound", "bird"]))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=7, **sizes)).save_pretrained(tmp_path / "bert")
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def test_other_models_keep_transformers_class_and_numbers(bert):
    found = pipeline("feature-extraction", model=bert)
    assert type(found) is FeatureExtractionPipeline
    stock = pipeline("feature-extraction", model=bert, pipeline_class=FeatureExtractionPipeline)
    assert found("sound bird") == stock("sound bird")
    assert type(pipeline("feature-extraction", model=found.model, tokenizer=found.tokenizer)) is type(stock)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_only_real_tokens_are_returned(config, tmp_path, batch_size):
    """Each clip's tokens are those of the clip alone, without padding; of 40 frames, 25 ms + 10 ms each."""
    model = SSASTModel(config).eval()
    model.save_pretrained(tmp_path)
    extractor = SSASTFeatureExtractor(num_mel_bins=24, max_length=40)
    extractor.save_pretrained(tmp_path)
    embed = pipeline("feature-extraction", model=str(tmp_path))
    assert type(embed) is SSASTFeatureExtractionPipeline
    clips = [torch.randn(n, generator=torch.Generator().manual_seed(n)).numpy() * 0.1 for n in (1680, 3600, 9000)]
    found = embed(clips, batch_size=batch_size, return_tensors=True)
    assert [tuple(tokens.shape) for tokens in found] == [(1, 2 + 6 * columns, 32) for columns in (2, 5, 10)]
    for clip, tokens in zip(clips, found):
        features = extractor(clip, sampling_rate=16000, padding=False, return_tensors="pt")
        with torch.no_grad():
            alone = model(features["input_values"]).last_hidden_state
        torch.testing.assert_close(tokens, alone, rtol=0, atol=1e-5)


def test_other_classifiers_keep_transformers_class_and_numbers(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_conv_pos_embeddings": 4,
                    "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2}  # fmt: skip
    Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**sizes, **convolutions)).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    found = pipeline("audio-classification", model=str(tmp_path))
    assert type(found) is AudioClassificationPipeline
    stock = pipeline("audio-classification", model=str(tmp_path), pipeline_class=AudioClassificationPipeline)
    waveform = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    assert found(waveform) == stock(waveform)


def forms(tmp_path) -> dict:
    """One sound at 44.1 kHz in every form that is taken; and the samples that it has at 16 kHz."""
    samples, rate = soundfile.read(CROW, dtype="float32")
    decoder = SimpleNamespace(
        get_all_samples=lambda: SimpleNamespace(data=torch.from_numpy(samples)[None], sample_rate=rate)
    )
    return {
        "waveform": soxr.resample(samples, rate, 16000, quality="HQ"),
        "array": {"array": samples, "sampling_rate": rate, "path": None},
        "raw": {"raw": torch.from_numpy(samples), "sampling_rate": rate},
        "bytes": {"bytes": CROW.read_bytes(), "path": "crow.flac"},
        "path": {"bytes": None, "path": str(CROW)},
        "decoder": decoder,
        "name": str(CROW),
        "content": CROW.read_bytes(),
    }


def test_every_form_of_sound_gives_the_same_labels_and_tokens(checkpoints, tmp_path):
    """In both pipelines, alone and in a list; for the waveform at 16 kHz as transformers' own pipeline classifies."""
    classify = pipeline("audio-classification", model=str(checkpoints / "classifier"))
    embed = pipeline("feature-extraction", model=str(checkpoints / "pretrained"))
    assert type(classify) is SSASTAudioClassificationPipeline and isinstance(classify, AudioClassificationPipeline)
    sounds = forms(tmp_path)
    how = {"model": classify.model, "feature_extractor": classify.feature_extractor}
    expected = AudioClassificationPipeline(**how, top_k=None)(sounds["waveform"])
    tokens = embed(sounds["waveform"], return_tensors=True)
    for form, sound in sounds.items():
        (in_list,) = classify([sound], top_k=None)
        for scores in (classify(sound, top_k=None), in_list):
            assert {s["label"]: s["score"] for s in scores} == pytest.approx(
                {s["label"]: s["score"] for s in expected}, abs=1e-5
            ), form
        torch.testing.assert_close(embed(sound, return_tensors=True), tokens, atol=1e-4, rtol=0)
        torch.testing.assert_close(embed([sound], return_tensors=True)[0], tokens, atol=1e-4, rtol=0)


def test_an_address_is_downloaded(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert as_sound(f"{address}/a.wav") == {"bytes": b"sound"}
        with pytest.raises(OSError, match="404"):
            as_sound(f"{address}/b.wav")
        server.shutdown()


def test_files_are_read_as_the_commands_read_them(checkpoints, tmp_path):
    """Both channels, soxr's resampling; and what cannot be read is one sentence."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((22050, 2))
    soundfile.write(tmp_path / "stereo.wav", noise, 22050)
    classify = pipeline("audio-classification", model=str(checkpoints / "classifier"))
    found, expected = (classify(sound, top_k=1)[0]["score"]
                       for sound in (str(tmp_path / "stereo.wav"), load_audio(tmp_path / "stereo.wav")))  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-6)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(ValueError, match="broken.wav"):
        classify(str(tmp_path / "broken.wav"))
    embed = pipeline("feature-extraction", model=str(checkpoints / "pretrained"))
    for wrong in ({"array": np.zeros((2, 800)), "sampling_rate": 16000}, np.zeros((2, 800)), torch.zeros(2, 800)):
        for pipe in (classify, embed):  # two channels are no batch of two sounds
            with pytest.raises(ValueError, match=r"shape \(2, 800\)"):
                pipe(wrong)


def test_saved_models_name_pipelines_for_where_the_package_is_missing(checkpoints, tmp_path):
    """A process without the package has the labels and the real tokens that this one has."""
    for name, task in (("classifier", "audio-classification"), ("pretrained", "feature-extraction")):
        assert list(json.loads((checkpoints / name / "config.json").read_text())["custom_pipelines"]) == [task]
        assert not hasattr(SSASTModel.from_pretrained(checkpoints / name).config, "custom_pipelines")
    short = 0.1 * np.random.default_rng(0).standard_normal(3520).astype(np.float32)  # 0.22 s: 20 frames, 1 patch
    embed = pipeline("feature-extraction", model=str(checkpoints / "pretrained"))
    tokens = embed(short, return_tensors=True)
    assert tokens.shape == (1, 2 + 8, 32)
    scores = pipeline("audio-classification", model=str(checkpoints / "classifier"))(str(CROW))
    save_file({"short": torch.from_numpy(short), "tokens": tokens}, tmp_path / "expected.safetensors")
    code = """
        import torch
        from safetensors.torch import load_file
        from transformers import pipeline
        expected = load_file(expected)
        embed = pipeline("feature-extraction", model=encoder, trust_remote_code=True)
        assert type(embed).__name__ == "SSASTFeatureExtractionPipeline"
        found = embed(expected["short"].numpy(), return_tensors=True)
        torch.testing.assert_close(found, expected["tokens"], atol=1e-6, rtol=0)
        for task in ("audio-classification", None):
            classify = pipeline(task, model=classifier, trust_remote_code=True)
            assert type(classify).__name__ == "SSASTAudioClassificationPipeline"
            for found, one in zip(classify(crow), scores):
                assert found["label"] == one["label"] and abs(found["score"] - one["score"]) < 1e-5
        try:
            pipeline("feature-extraction", model=encoder)
        except ValueError as error:
            assert "trust_remote_code" in str(error)
        embed.model.save_pretrained("again")  # custom code saves itself, with what of it was loaded
        import os
        assert {"configuration_ssast.py", "modeling_ssast.py", "masking.py"} <= set(os.listdir("again"))
    """
    given = {
        "expected": tmp_path / "expected.safetensors", "encoder": checkpoints / "pretrained", "crow": CROW,
        "classifier": checkpoints / "classifier", "scores": scores,
    }  # fmt: skip
    run_python(code, tmp_path / "another machine", hide_package=True, offline=True, given=given)
