# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Loading with another patch grid, with and without the package's hooks, whole, offloaded and incomplete."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForAudioClassification

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining, SSASTModel
from ssast_hf.checkpoints.files import read_json, shard_names
from ssast_hf.checkpoints.loading import load_complete
from ssast_hf.cli import main
from ssast_hf.configuration_ssast import LOADING_HOOKS
from ssast_hf.modeling_ssast import adapt_state_dict
from ssast_hf.training.tuning import choose_trained


@pytest.fixture
def saved(config, tmp_path):
    """A saved encoder of 6 x 10 patches."""
    SSASTModel(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_position_embeddings_are_cut_from_the_centre(config, saved):
    """By the plain formula of the original: `start = old // 2 - new // 2`."""
    before = load_file(saved / "model.safetensors")["embeddings.position_embeddings"]
    after = SSASTModel.from_pretrained(saved, max_length=24).embeddings.position_embeddings  # 6 of 10 columns
    grid = before[:, 2:].reshape(1, 6, 10, -1)
    expected = torch.cat([before[:, :2], grid[:, :, 2:8].reshape(1, 36, -1)], dim=1)
    torch.testing.assert_close(after.data, expected, rtol=0, atol=0)


def test_position_embeddings_adapt_under_disk_offload(config, saved, tmp_path):
    """Weights that stay on the disk are adapted as well: the offloaded model computes what the whole one does."""
    pytest.importorskip("accelerate")
    device_map = {"embeddings": "disk", "layers": "cpu", "layernorm": "disk"}
    whole = SSASTModel.from_pretrained(saved, max_length=80)
    offloaded = SSASTModel.from_pretrained(
        saved, max_length=80, device_map=device_map, offload_folder=tmp_path / "offload"
    )
    input_values = torch.randn(2, 80, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = whole(input_values).last_hidden_state
        torch.testing.assert_close(offloaded(input_values).last_hidden_state, expected, rtol=0, atol=0)
    assert offloaded.config.max_length == 80


@pytest.mark.parametrize("layout", ["one file", "shards", "pickle"])
def test_the_same_weights_adapt_in_every_kind_of_file(config, saved, tmp_path, layout):
    model = SSASTModel.from_pretrained(saved)
    if layout == "shards":
        model.save_pretrained(tmp_path / "copy", max_shard_size="10KB")
    elif layout == "pickle":
        model.config.save_pretrained(tmp_path / "copy")
        torch.save(model.state_dict(), tmp_path / "copy" / "pytorch_model.bin")
    source = saved if layout == "one file" else tmp_path / "copy"
    given = {"use_safetensors": False} if layout == "pickle" else {}
    adapted = SSASTModel.from_pretrained(source, max_length=80, time_stride=2, **given)
    expected = adapt_state_dict(model.state_dict(), model.config, adapted.config)
    assert adapted.config.patch_grid() == (6, 39)
    for name, value in adapted.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_adapting_needs_nothing_of_the_package(saved, monkeypatch):
    """As custom code runs where the package is missing: no hook is registered."""
    expected = SSASTModel.from_pretrained(saved, max_length=80).state_dict()
    for name in list(LOADING_HOOKS):
        monkeypatch.delitem(LOADING_HOOKS, name)
    model, info = SSASTModel.from_pretrained(saved, max_length=80, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert model.name_or_path == str(saved)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_remote_code_adapts_where_the_package_is_missing(config, saved, tmp_path):
    code = f"""
import sys
sys.modules["ssast_hf"] = None  # importing it fails
from transformers import AutoModel
model = AutoModel.from_pretrained({str(saved)!r}, trust_remote_code=True, max_length=80)
assert model.embeddings.position_embeddings.shape == (1, 2 + 6 * 20, 32), model.embeddings.position_embeddings.shape
"""
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_overlap_is_refused_by_pretraining_before_anything_is_loaded(config, tmp_path):
    SSASTForPreTraining(config).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="`time_stride` is 2, expected 4"):
        SSASTForPreTraining.from_pretrained(tmp_path / "model", time_stride=2)


def test_missing_weights_are_an_error_where_a_model_is_used(config, saved):
    state = load_file(saved / "model.safetensors")
    del state["layers.1.mlp.fc1.weight"], state["layernorm.bias"]
    save_file(state, saved / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks weights of SSASTModel: layernorm.bias, layers.1.mlp.fc1.weight\."):
        load_complete(SSASTModel, saved)
    SSASTModel.from_pretrained(saved)  # warns, as transformers does
    with pytest.raises(ValueError, match=r"lacks weights .* and \d+ more"):
        load_complete(SSASTForAudioClassification, saved)


@pytest.mark.parametrize("command", ["embed", "export", "convert"])
def test_commands_refuse_an_encoder_with_missing_weights(config, saved, tmp_path, capsys, command):
    SSASTFeatureExtractor(num_mel_bins=24, max_length=40).save_pretrained(saved)
    state = load_file(saved / "model.safetensors")
    del state["layers.1.mlp.fc1.weight"]
    save_file(state, saved / "model.safetensors", {"format": "pt"})
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16000)
    target = tmp_path / "target.npz"
    argv = {
        "embed": ["embed", tmp_path / "a.wav", "--model", saved, "--output", target],
        "export": ["export", "--model", saved, "--level", "clip", "--onnx", target],
        "convert": ["convert", saved, target, "--to", "ast"],
    }[command]
    assert main([str(argument) for argument in argv]) == 2
    assert "lacks weights of SSASTModel: layers.1.mlp.fc1.weight" in capsys.readouterr().err
    assert not target.exists()


def test_an_adapter_names_its_base_by_a_short_name_and_is_loaded_by_it(tmp_path):
    """No path of this machine travels, and `from_pretrained` gives what peft gives."""
    peft = pytest.importorskip("peft")
    name = "ssast-tiny-patch-debian-kinds"
    base = SSASTForAudioClassification.from_pretrained(name).eval()
    settings = peft.LoraConfig(r=2, target_modules="all-linear", modules_to_save=["classifier"])
    adapted = peft.get_peft_model(base, settings).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for key, value in adapted.named_parameters():
            if "lora" in key or "modules_to_save" in key:
                value.add_(0.05 * torch.randn_like(value))
    adapted.save_pretrained(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["base_model_name_or_path"] == name
    sound = torch.randn(1, 256, 128)
    whole = SSASTForAudioClassification.from_pretrained(tmp_path / "adapter").eval()
    plain = SSASTForAudioClassification.from_pretrained(name).eval()
    expected = adapted(sound).logits
    torch.testing.assert_close(whole(sound).logits, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(plain(sound).logits, expected, atol=1e-5)
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="is an adapter that does not name its base model"):
        SSASTForAudioClassification.from_pretrained(tmp_path / "adapter")


def test_checkpoints_of_lora_hold_no_path_of_this_machine(checkpoints):
    pytest.importorskip("peft")
    model = SSASTForAudioClassification.from_pretrained(checkpoints / "classifier")
    flags = {"lora_rank": 2, "lora_alpha": 4.0, "lora_dropout": 0.0, "lora_targets": ["fc1"]}
    adapted = choose_trained(model, SimpleNamespace(linear_probe=False, freeze_layers=None, **flags))
    assert adapted.peft_config["default"].base_model_name_or_path == "classifier"


def test_weights_and_configuration_of_different_shapes_are_one_sentence(config, saved):
    content = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**content, "intermediate_size": 64}))
    with pytest.raises(ValueError, match=r"do not have the shapes that its config\.json says\.$"):
        load_complete(SSASTModel, saved)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"num_labels": 5}, "num_labels=5"),
        ({"id2label": {0: "owl"}}, "num_labels=1"),
        ({"pooling": "rows", "max_length": 80}, "pooling='rows'"),
    ],
)
def test_sizes_asked_for_that_the_weights_do_not_have_are_named(checkpoints, asked, named):
    """As keywords and, by Auto classes, in a configuration; `ignore_mismatched_sizes` makes those weights anew."""
    folder = checkpoints / "classifier"
    for load in (SSASTForAudioClassification.from_pretrained, AutoModelForAudioClassification.from_pretrained):
        with pytest.raises(ValueError, match=f"shapes that {named} asks for: give ignore_mismatched_sizes=True"):
            load(folder, **asked)
        model = load(folder, **asked, ignore_mismatched_sizes=True)
        assert model.classifier.dense.weight.shape == (model.config.num_labels, model.config.pooled_size)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds list, expected a JSON object"),
        ("3", "holds int, expected a JSON object"),
        ("{", "is not JSON"),
        ('{"a":' * 20000 + "1" + "}" * 20000, "nested too deeply"),
    ],
)
def test_json_of_another_kind_is_refused_in_a_sentence(saved, content, message):
    (saved / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_json(saved / "config.json")
    with pytest.raises(ValueError, match=message):
        SSASTModel.from_pretrained(saved)


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": []},
        {"weight_map": {"a": 1}},
        {"weight_map": {"a": "pytorch_model.bin"}},
        {"weight_map": {"a": "../model.safetensors"}},
        {"weight_map": {"a": "/dev/zero"}},
        {"weight_map": {"a": "/tmp/model.safetensors"}},
    ],
)
def test_an_index_names_safetensors_beside_it_or_is_refused(saved, index):
    """Nothing else is opened, neither with another length, which reads the files here, nor without."""
    (saved / "model.safetensors").rename(saved / "model-00001-of-00001.safetensors")
    file = saved / "model.safetensors.index.json"
    file.write_text(json.dumps({"metadata": {}, **index}))
    for load in (lambda: shard_names(file), lambda: SSASTModel.from_pretrained(saved),
                 lambda: SSASTModel.from_pretrained(saved, max_length=80)):  # fmt: skip
        with pytest.raises(ValueError, match=r"weight_map|expected the name of a \.safetensors file"):
            load()
