# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The official checkpoints by name, from stand-ins under the repositories, commits and key styles that the Hub has, and
from other organisations; converted ones of every official size and shape give the original's outputs after the Hub.
"""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from ssast_hf import SSASTForAudioClassification, SSASTModel
from ssast_hf.checkpoints.convert import convert_checkpoint
from ssast_hf.checkpoints.layouts import official_state_dict

from ..conftest import SMALL
from ..golden import CASES, FILE, seeded
from .client import TOKEN, run_commands, run_python, save_checkpoint

SOUND = Path(__file__).parents[1] / "data/sounds/misc_crow.flac"
TINY_COMMIT = "da0ba7aa03ad524b1caa0dc0e13e689cec1198d5"
FRAME_COMMIT = "9b74afd" + "0" * 33  # known abbreviated
# Official name -> transformers 4's, which the copies on the Hub have.
V4 = {
    "v.cls_token": "embeddings.cls_token", "v.dist_token": "embeddings.distillation_token",
    "v.pos_embed": "embeddings.position_embeddings", "v.patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense", "v.norm": "layernorm",
}  # fmt: skip


def as_on_the_hub(official: dict[str, torch.Tensor], prefix: str = "") -> dict[str, torch.Tensor]:
    """The encoder of an official state dict as the copies on the Hub have it, written from their description."""
    state = {}
    for name, value in official.items():
        name = name.removeprefix("module.")
        block = re.match(r"v\.blocks\.(\d+)\.(.*)\.(weight|bias)$", name)
        if block:
            stem = f"{prefix}encoder.layer.{block[1]}"
            if block[2] == "attn.qkv":
                for part, rows in zip(("query", "key", "value"), value.chunk(3)):
                    state[f"{stem}.attention.attention.{part}.{block[3]}"] = rows.clone()
            else:
                state[f"{stem}.{V4[block[2]]}.{block[3]}"] = value
        else:
            stem, dot, ending = (name, "", "") if name in V4 else name.rpartition(".")
            if stem in V4:
                state[f"{prefix}{V4[stem]}{dot}{ending}"] = value
    assert len(state) == 4 + 1 + 12 * 16 + 2
    return state


def put_copy(hub, repo, directory, patches, prefix="", sha=None, config=None, **files):
    """Puts a stand-in of an official tiny checkpoint into `repo`, in AST's layout with AST's configuration."""
    state = as_on_the_hub(seeded.pretraining_checkpoint("tiny", *patches), prefix)
    ASTFeatureExtractor().save_pretrained(directory)
    save_file(state, directory / "model.safetensors", {"format": "pt"})
    content = ASTConfig(
        hidden_size=192, num_attention_heads=3, intermediate_size=768, frequency_stride=patches[0],
        time_stride=patches[1], patch_size=16,
    ).to_dict()  # fmt: skip
    (directory / "config.json").write_text(json.dumps({**content, **(config or {})}))
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
    hub.put(repo, directory, sha)


def test_official_names_load_the_copies_on_the_hub(hub, home, tmp_path):
    """
    Bare and prefixed keys, square and rectangular patches: the original's hidden states (so LayerNorm's epsilon is
    SSAST's), mean pooling, and not a line of the repositories' code.
    """
    tiny, small, frame = (
        "Simon-Kotchou/ssast-tiny-patch-audioset-16-16", "Simon-Kotchou/ssast-small-patch-audioset-16-16",
        "confit/ssast-t2-f128-p400.as-ls",
    )  # fmt: skip
    custom = {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    evil = f"open({str(tmp_path / 'code was run')!r}, 'w')\n"
    put_copy(hub, tiny, tmp_path / "a", (16, 16), sha=TINY_COMMIT)
    put_copy(hub, small, tmp_path / "b", (16, 16), prefix="audio_spectrogram_transformer.")
    put_copy(hub, frame, tmp_path / "c", (128, 2), sha=FRAME_COMMIT, config=custom, evil=evil)
    put_copy(hub, frame, tmp_path / "d", (16, 16))  # later than the commit that is known
    hub.clear()
    code = """
        import torch
        from safetensors import safe_open
        from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining, SSASTModel
        from tests.golden import seeded
        with safe_open(golden, "pt") as file:
            golden = {shape: file.get_tensor(f"pretrain/tiny-{shape}-t1024-m400/last_hidden_state_slice")
                      for shape in ("16x16", "128x2")}
        sound = seeded.spectrogram(2, 1024)
        for name, shape in (("ssast-tiny-patch", "16x16"), ("ssast-small-patch", "16x16"),
                            ("Simon-Kotchou/ssast-tiny-patch-audioset-16-16", "16x16"), ("ssast-base-frame", "128x2")):
            model = SSASTModel.from_pretrained(name)
            with torch.no_grad():
                outputs = model(sound)
            hidden = outputs.last_hidden_state
            slices = hidden[:, :: max(1, hidden.shape[1] // 8), :: max(1, hidden.shape[2] // 16)]
            torch.testing.assert_close(slices, golden[shape], rtol=0, atol=1e-4, msg=name)
            torch.testing.assert_close(outputs.pooler_output, hidden[:, 2:].mean(dim=1), rtol=0, atol=1e-5)
            config = SSASTConfig.from_pretrained(name)
            for config in (model.config, SSASTConfig.from_pretrained(name)):
                assert (config.pooling, config.layer_norm_eps) == ("mean", 1e-6), name
                assert (config.num_mask_patches, config.num_patches) == (400, 512), name
            assert SSASTFeatureExtractor.from_pretrained(name).mean == -4.2677393
        assert SSASTModel.from_pretrained("ssast-tiny-patch", pooling="cls").config.pooling == "cls"
        SSASTForPreTraining.from_pretrained("ssast-base-frame")
    """
    done = run_python(code, home, hub, given={"golden": FILE}, PYTHONPATH=str(Path(__file__).parents[2]))
    assert "ssast-base-frame holds the encoder alone: the mask token and both heads of SSASTForPreTraining are" in (
        done.stderr
    )
    assert not (tmp_path / "code was run").exists()
    assert not any(entry["path"].endswith(".py") for entry in hub.requests())
    assert any(f"/resolve/{FRAME_COMMIT}/" in entry["path"] for entry in hub.requests())

    ((_, out, _),) = run_commands([["checkpoints", "--json"]], home, hub)
    here = {row["name"]: row["here"] for row in map(json.loads, out.splitlines())}
    assert {name for name, where in here.items() if where == "cached"} == {
        "ssast-tiny-patch", "ssast-small-patch", "ssast-base-frame",
    }  # fmt: skip


def test_a_supervised_ast_and_names_elsewhere(hub, home, tmp_path):
    """
    `MIT/ast-...` gives the logits of transformers' own class; `$SSAST_ORGANIZATION` and `$SSAST_CHECKPOINTS` say where
    names are, and a name alone does not make another's AST an SSAST.
    """
    torch.manual_seed(0)
    labels = {0: "dog", 1: "cat", 2: "rain"}
    ast = ASTForAudioClassification(ASTConfig(**SMALL, max_length=100, id2label=labels)).eval()
    for parameter in ast.parameters():
        parameter.data.normal_(0, 0.3)
    ast.save_pretrained(tmp_path / "ast")
    ASTFeatureExtractor(max_length=100, mean=-5.0).save_pretrained(tmp_path / "ast")
    hub.put("MIT/ast-finetuned-audioset-10-10-0.4593", tmp_path / "ast")
    sound = torch.randn(2, 100, 128)
    with torch.no_grad():
        save_file({"sound": sound, "logits": ast(sound).logits}, tmp_path / "expected.safetensors")
    ours = save_checkpoint(tmp_path / "ours", SSASTForAudioClassification)
    hub.put("lab/ssast-tiny-frame", ours)
    other = save_checkpoint(tmp_path / "other", SSASTModel, seed=7)
    revision = hub.put("lab/bats", other)
    names = {
        "dogs": "MIT/ast-finetuned-audioset-10-10-0.4593",
        "bats": {"repo": "lab/bats", "revision": revision},
        "ssast-tiny-patch": {"repo": "MIT/ast-finetuned-audioset-10-10-0.4593"},  # the family's, whatever the place
    }
    (tmp_path / "names.json").write_text(json.dumps(names))
    code = """
        import torch
        from safetensors.torch import load_file
        from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTModel
        expected = load_file(expected)
        for name in ("MIT/ast-finetuned-audioset-10-10-0.4593", "dogs"):
            model = SSASTForAudioClassification.from_pretrained(name).eval()
            with torch.no_grad():
                logits = model(expected["sound"]).logits
            torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=1e-5)
            assert model.config.id2label == {0: "dog", 1: "cat", 2: "rain"}
            assert SSASTFeatureExtractor.from_pretrained(name).mean == -5.0
        assert SSASTForAudioClassification.from_pretrained("dogs", pooling="mean").config.pooling == "mean"
        config = SSASTModel.from_pretrained("ssast-tiny-patch").config
        assert (config.pooling, config.layer_norm_eps) == ("mean", 1e-6)
        for name, directory in (("ssast-tiny-frame", ours), ("bats", other)):
            here, there = (SSASTModel.from_pretrained(place).state_dict() for place in (directory, name))
            assert all(torch.equal(value, here[key]) for key, value in there.items())
    """
    given = {"expected": tmp_path / "expected.safetensors", "ours": ours, "other": other}
    places = {"SSAST_ORGANIZATION": "lab", "SSAST_CHECKPOINTS": str(tmp_path / "names.json")}
    run_python(code, home, hub, given=given, **places)
    classify = ["classify", SOUND, "--json", "--model", "MIT/ast-finetuned-audioset-10-10-0.4593"]
    ((status, out, _),) = run_commands([classify], home, hub)
    assert status == 0
    assert {label["label"] for label in json.loads(out)["labels"]} == {"dog", "cat", "rain"}


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> Path:
    """A directory per official size and patch shape, each converted from a seeded official file, bit by bit."""
    folder = tmp_path_factory.mktemp("converted")
    for size, patches in (("tiny", (16, 16)), ("tiny", (128, 2)), ("small", (16, 16)), ("base", (16, 16)),
                          ("base", (128, 2))):  # fmt: skip
        file = folder / "official.pth"
        official = seeded.pretraining_checkpoint(size, *patches)
        torch.save(official, file)
        model = convert_checkpoint(file, folder / f"{size}-{patches[0]}x{patches[1]}").model
        for name, value in official_state_dict(model).items():
            assert "v.head" in name or torch.equal(value, official[name]), name
        file.unlink()
    return folder


def test_converted_checkpoints_give_the_originals_outputs_after_the_hub(hub, home, converted, tmp_path):
    """
    Hidden states, losses and accuracy where the original's are known; for the other sizes and shapes every tensor is
    the converted one's, which is the official file's.
    """
    names = sorted(path.name for path in converted.iterdir())
    pushed = run_commands([["push", converted / name, f"lab/ssast-{name}"] for name in names], home, hub, TOKEN)
    assert [status for status, _, _ in pushed] == [0] * 5
    known = {
        name: case
        for name, case in CASES.items()
        if name.startswith("pretrain/") and (case["tdim"], case["mask"]) == (1024, 400)
    }
    assert len(known) == 3
    code = """
        import torch
        from safetensors import safe_open
        from ssast_hf import SSASTForPreTraining
        from tests.golden import seeded
        sound = seeded.spectrogram(2, 1024)
        with safe_open(golden, "pt") as file, torch.no_grad():
            for name in names:
                model = SSASTForPreTraining.from_pretrained(f"lab/ssast-{name}").eval()
                with safe_open(f"{folder}/{name}/model.safetensors", "pt") as converted:
                    for key, value in model.state_dict().items():
                        assert torch.equal(value, converted.get_tensor(key)), key
                case = f"pretrain/{name}-t1024-m400"
                if case not in known:
                    continue
                mask = torch.zeros(2, 512, dtype=torch.bool).scatter(1, file.get_tensor(f"{case}/mask_index"), True)
                outputs = model(sound, bool_masked_pos=mask)
                for loss in ("loss_discriminative", "loss_generative", "accuracy"):
                    torch.testing.assert_close(outputs[loss], file.get_tensor(f"{case}/{loss}"), rtol=1e-4, atol=1e-6)
                hidden = model.ssast(sound).last_hidden_state
                slices = hidden[:, :: max(1, hidden.shape[1] // 8), :: max(1, hidden.shape[2] // 16)]
                expected = file.get_tensor(f"{case}/last_hidden_state_slice")
                torch.testing.assert_close(slices, expected, rtol=0, atol=1e-4)
                print(case)
    """
    given = {"golden": FILE, "folder": converted, "names": names, "known": sorted(known)}
    root = str(Path(__file__).parents[2])
    done = run_python(code, tmp_path / "another machine", hub, given=given, PYTHONPATH=root, OMP_NUM_THREADS="2")
    assert sorted(done.stdout.split()) == sorted(known)
