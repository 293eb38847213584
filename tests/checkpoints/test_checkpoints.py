# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Conversion of official checkpoints; that the result computes the original's numbers is in `test_golden.py`."""

import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining
from ssast_hf.checkpoints.convert import convert_checkpoint, read_label_names
from ssast_hf.checkpoints.layouts import OFFICIAL_DROPPED, convert_state_dict, official_to_ours

from ..official_states import fine_tuned_state, pretraining_state


@pytest.mark.parametrize(
    ("size", "fshape", "tshape", "heads"),
    [("tiny", 16, 16, 3), ("small", 16, 16, 6), ("base", 16, 16, 12), ("tiny", 128, 2, 3), ("base", 128, 2, 12)],
)
def test_size_and_patch_shape_are_read_from_the_tensors(size, fshape, tshape, heads):
    config = convert_state_dict(pretraining_state(size, fshape, tshape)).model.config
    expected = getattr(SSASTConfig, size)("patch" if fshape == 16 else "frame")
    assert config.num_attention_heads == heads
    assert config.to_dict() == expected.to_dict()


def test_every_tensor_is_used_or_dropped_for_a_stated_reason():
    state = pretraining_state()
    conversion = convert_state_dict(state)
    assert conversion.keys.keys() | conversion.dropped.keys() == state.keys()
    assert not conversion.keys.keys() & conversion.dropped.keys()
    assert set(conversion.dropped.values()) == set(OFFICIAL_DROPPED.values())
    assert sorted(conversion.keys.values()) == sorted(conversion.model.state_dict())
    for official, here in conversion.keys.items():
        torch.testing.assert_close(conversion.model.state_dict()[here], state[official], rtol=0, atol=0)


def test_a_state_dict_without_the_module_prefix_is_the_same():
    bare = {key.removeprefix("module."): value for key, value in pretraining_state().items()}
    assert (
        convert_state_dict(bare).model.config.to_dict()
        == convert_state_dict(pretraining_state()).model.config.to_dict()
    )


@pytest.mark.parametrize(
    ("patches", "shape", "strides", "length"),
    [
        (12 * 12, (16, 16), (10, 10), 128), (12 * 50, (16, 16), (10, 10), 512), (12 * 101, (16, 16), (10, 10), 1024),
        (8 * 32, (16, 16), (16, 16), 512), (8 * 64, (16, 16), (16, 16), 1024), (127, (128, 2), (128, 1), 128),
        (511, (128, 2), (128, 1), 512), (256, (128, 2), (128, 2), 512),
    ],
)  # fmt: skip
def test_the_grid_of_an_official_fine_tuned_checkpoint_is_recognised(patches, shape, strides, length):
    conversion = convert_state_dict(fine_tuned_state(patches, fshape=shape[0], tshape=shape[1]))
    config = conversion.model.config
    assert isinstance(conversion.model, SSASTForAudioClassification)
    assert (config.frequency_stride, config.time_stride, config.max_length) == (*strides, length)
    assert config.num_labels == 5


def test_an_unusual_grid_must_be_given():
    with pytest.raises(ValueError, match="give frequency_stride, time_stride and max_length"):
        convert_state_dict(fine_tuned_state(12 * 30))
    grid = {"frequency_stride": 10, "time_stride": 10, "max_length": 310}
    assert convert_state_dict(fine_tuned_state(12 * 30), **grid).model.config.num_patches == 360
    with pytest.raises(ValueError, match="position embeddings for 360 patches, but .* make 348"):
        convert_state_dict(fine_tuned_state(12 * 30), **{**grid, "max_length": 300})


def test_missing_unknown_and_misshapen_tensors_are_named():
    state = pretraining_state()
    with pytest.raises(ValueError, match=r"has no v\.dist_token"):
        convert_state_dict({k: v for k, v in state.items() if "dist_token" not in k})
    with pytest.raises(ValueError, match=r"lacks ssast\.layers\.3\.mlp\.fc2\.bias"):
        convert_state_dict({k: v for k, v in state.items() if k != "module.v.blocks.3.mlp.fc2.bias"})
    with pytest.raises(ValueError, match=r"module\.v\.extra\.weight"):
        convert_state_dict({**state, "module.v.extra.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"gpredlayer|generative_head\.decoder\.bias has shape \(255,\)"):
        convert_state_dict({**state, "module.gpredlayer.2.bias": torch.zeros(255)})
    with pytest.raises(ValueError, match="Not an official SSAST checkpoint"):
        convert_state_dict({"weight": torch.zeros(1)})
    assert official_to_ours("module.v.blocks.11.attn.qkv.bias") == "ssast.layers.11.attention.qkv.bias"


def test_a_converted_directory_loads_as_any_class(tmp_path):
    torch.save(pretraining_state(), tmp_path / "official.pth")
    convert_checkpoint(tmp_path / "official.pth", tmp_path / "out", num_mask_patches=250, mean=-6.0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "config.json", "model.safetensors", "preprocessor_config.json",
        "batching.py", "configuration_ssast.py", "feature_extraction_ssast.py", "masking.py", "modeling_ssast.py",
        "pipelines.py",
    }  # fmt: skip
    assert json.loads((tmp_path / "out/config.json").read_text())["architectures"] == ["SSASTForPreTraining"]
    assert SSASTForPreTraining.from_pretrained(tmp_path / "out").config.num_mask_patches == 250
    assert SSASTFeatureExtractor.from_pretrained(tmp_path / "out").mean == -6.0
    model, info = SSASTForAudioClassification.from_pretrained(tmp_path / "out", num_labels=3, output_loading_info=True)
    assert {name.split(".")[0] for name in info["missing_keys"]} == {"classifier"}
    stored = load_file(tmp_path / "out/model.safetensors")
    torch.testing.assert_close(model.ssast.layers[0].mlp.fc1.weight, stored["ssast.layers.0.mlp.fc1.weight"])


@pytest.mark.parametrize("to", ["ssast", "ast", "official"])
def test_a_full_disk_leaves_the_target_as_it_was(tmp_path, monkeypatch, to):
    torch.save(pretraining_state(), tmp_path / "source.pth")
    convert_checkpoint(tmp_path / "source.pth", tmp_path / "out", to)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*args, **kwargs):
        raise RuntimeError("[enforce fail] unexpected pos") if to == "official" else SafetensorError("No space left")

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr("transformers.modeling_utils.safe_save_file", full)
    with pytest.raises(OSError, match="out.* cannot be written"):
        convert_checkpoint(tmp_path / "source.pth", tmp_path / "out", to, overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(OSError, match="cannot be written"):
        convert_checkpoint(tmp_path / "source.pth", tmp_path / "new", to)
    assert {path.name for path in tmp_path.iterdir()} <= {"source.pth", "out", "new"}
    assert not list(tmp_path.glob("new/*"))


def test_label_names(tmp_path):
    torch.save(fine_tuned_state(144), tmp_path / "official.pth")
    names = ["dog", "cat", "rain, heavy", "né", "x"]
    (tmp_path / "a.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(names))
    rows = [f'{i},/m/{i},"{name}"' for i, name in enumerate(names)]
    (tmp_path / "a.csv").write_text("index,mid,display_name\n" + "\n".join(reversed(rows)), encoding="utf-8")
    for suffix in ("txt", "json", "csv"):
        assert read_label_names(tmp_path / f"a.{suffix}") == names
    convert_checkpoint(tmp_path / "official.pth", tmp_path / "out", label_names=names)
    config = SSASTConfig.from_pretrained(tmp_path / "out")
    assert config.id2label == dict(enumerate(names))
    assert config.label2id["rain, heavy"] == 2
    with pytest.raises(ValueError, match="4 label names, but the checkpoint has 5"):
        convert_checkpoint(tmp_path / "official.pth", tmp_path / "out2", label_names=names[:4])
    (tmp_path / "twice.txt").write_text("a\na\n")
    with pytest.raises(ValueError, match="only 1 differ"):
        read_label_names(tmp_path / "twice.txt")


class Payload:
    """What a malicious pickle would run."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_a_malicious_pickle_is_refused_unrun(tmp_path):
    torch.save({"module.v.cls_token": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="objects other than tensors, which can run code"):
        convert_checkpoint(tmp_path / "evil.pth", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_garbage_is_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pth is not a checkpoint"):
        convert_checkpoint(tmp_path / "a.pth", tmp_path / "out")


def test_a_file_without_a_state_dict_and_a_missing_one_are_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no state dict"):
        convert_checkpoint(tmp_path / "list.pth", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        convert_checkpoint(tmp_path / "nowhere.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_unasked(tmp_path):
    torch.save(pretraining_state(), tmp_path / "official.pth")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        convert_checkpoint(tmp_path / "official.pth", tmp_path / "out")
    convert_checkpoint(tmp_path / "official.pth", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/mine.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="is a file"):
        convert_checkpoint(tmp_path / "official.pth", tmp_path / "official.pth")
