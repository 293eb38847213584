# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Short names, directories and layouts that `from_pretrained` and the command line take, without the Hub."""

import json
import logging
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ASTModel
from transformers.utils import logging as transformers_logging

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForPreTraining,
    SSASTModel,
)
from ssast_hf.checkpoints import locate
from ssast_hf.checkpoints import names as checkpoints
from ssast_hf.checkpoints.cards import model_card
from ssast_hf.checkpoints.convert import convert_checkpoint, convert_named, load_checkpoint
from ssast_hf.checkpoints.layouts import AST_PREFIX, ast_state_to_ours, official_state_dict
from ssast_hf.cli import main

from ..conftest import SMALL
from ..golden import seeded
from ..official_states import fine_tuned_state, pretraining_state

CLASSES = (SSASTModel, SSASTForAudioClassification, SSASTForPreTraining)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SSAST_HOME", str(tmp_path / "home"))
    for name in ("SSAST_CHECKPOINTS", "SSAST_ORGANIZATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ast():
    """A supervised AST with a classifier, not square in time and frequency, weights large enough to tell."""
    config = ASTConfig(**SMALL, num_mel_bins=48, max_length=70, num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    model = ASTForAudioClassification(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return model


def save_ast(model, directory, keys="v4"):
    """As transformers saves it, with `keys` of version 4 (as it still does) or 5, bare or with prefix."""
    model.save_pretrained(directory)
    config = model.config
    extractor = ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length, mean=-5.0, std=3.0)
    extractor.save_pretrained(directory)
    if keys == "v5":
        save_file(model.state_dict(), directory / "model.safetensors", {"format": "pt"})


# A short name wherever a path can stand


def test_the_table_has_every_official_checkpoint():
    assert len({entry.official for entry in checkpoints.FAMILY}) == len(checkpoints.FAMILY) == 13
    assert list(checkpoints.table().values()) == [*checkpoints.FAMILY, *checkpoints.OWN]
    for entry in checkpoints.FAMILY:
        assert entry.name.startswith(f"ssast-{entry.size}-{entry.patches}")
        assert entry.licence == "bsd-3-clause"


def test_a_converted_checkpoint_is_found_by_its_name(tmp_path):
    torch.save(pretraining_state(), tmp_path / "SSAST-Tiny-Patch-400.pth")
    assert main(["convert", "SSAST-Tiny-Patch-400.pth", "--name", "ssast-tiny-patch"]) == 0
    assert locate.status(checkpoints.table()["ssast-tiny-patch"]) == "converted"
    card = model_card(tmp_path / "home" / "ssast-tiny-patch", "lab/copy")
    assert "license: bsd-3-clause" in card
    assert "Converted from `SSAST-Tiny-Patch-400.pth` of the [official code]" in card
    assert "## Training" not in card
    assert SSASTConfig.from_pretrained("ssast-tiny-patch").hidden_size == 192
    assert SSASTFeatureExtractor.from_pretrained("ssast-tiny-patch").max_length == 1024
    expected = SSASTForPreTraining.from_pretrained(tmp_path / "home" / "ssast-tiny-patch").state_dict()
    for cls in CLASSES:
        state = cls.from_pretrained("ssast-tiny-patch").state_dict()
        state = state if cls is not SSASTModel else {f"ssast.{key}": value for key, value in state.items()}
        shared = [key for key in state if key in expected]
        assert len(shared) >= 150
        assert all(torch.equal(state[key], expected[key]) for key in shared)
    model = SSASTForAudioClassification.from_pretrained("ssast-tiny-patch", num_labels=35, max_length=512)
    assert (model.config.num_labels, model.config.patch_grid()) == (35, (8, 32))


def test_a_directory_comes_first_then_what_is_bundled_then_what_was_converted(config, tmp_path, monkeypatch):
    name = "ssast-tiny-patch"
    monkeypatch.setattr(checkpoints, "BUNDLED", tmp_path / "bundled")
    for layers, place in ((3, tmp_path / "home"), (2, tmp_path / "bundled"), (1, tmp_path)):
        config.num_hidden_layers = layers
        SSASTModel(config).save_pretrained(place / name)
        assert SSASTConfig.from_pretrained(name).num_hidden_layers == layers
        assert len(SSASTModel.from_pretrained(name).layers) == layers


def test_a_name_that_is_converted_must_be_of_its_size(tmp_path):
    torch.save(pretraining_state(), tmp_path / "tiny.pth")
    with pytest.raises(ValueError, match=r"is not SSAST-Base-Patch-400.pth: .*192, 16, 16.*expected .*768, 16, 16"):
        convert_named(tmp_path / "tiny.pth", "ssast-base-patch")
    with pytest.raises(ValueError, match="--name is 'birds', expected one of ssast-base-patch, "):
        convert_named(tmp_path / "tiny.pth", "birds")
    convert_named(tmp_path / "tiny.pth", "ssast-tiny-patch")
    with pytest.raises(ValueError, match="not empty"):
        convert_named(tmp_path / "tiny.pth", "ssast-tiny-patch")
    convert_named(tmp_path / "tiny.pth", "ssast-tiny-patch", overwrite=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ssast-base-pach", "neither a directory nor a checkpoint's name: did you mean ssast-base-patch"),
        ("xyz", "neither a directory nor a checkpoint's name: `ssast checkpoints` lists"),
        ("./nowhere", "No such directory: ./nowhere"),
        ("/nowhere/at/all", "No such directory: /nowhere/at/all"),
        (
            "ssast-tiny-frame",
            r"no copy on the Hub is known: convert the official file with `ssast convert SSAST-Tiny-F",
        ),
        (
            "ssast-base-patch",
            r"not in the Hub's cache, and HF_HUB_OFFLINE is set|nor in the Hub's cache, and HF_HUB_OFF",
        ),
        ("lab/birds", "nor in the Hub's cache, and HF_HUB_OFFLINE is set: load it once"),
    ],
)
def test_a_checkpoint_that_is_not_here_is_an_error_with_the_next_step(name, message, capsys, tmp_path):
    for load in (SSASTConfig, SSASTFeatureExtractor, *CLASSES):
        with pytest.raises(OSError, match=message):
            load.from_pretrained(name)
    (tmp_path / "a.wav").touch()
    assert main(["classify", "a.wav", "--model", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_names_of_ones_own(config, tmp_path, monkeypatch, capsys):
    SSASTModel(config).save_pretrained(tmp_path / "somewhere")
    file = tmp_path / "home" / "checkpoints.json"
    file.parent.mkdir()
    file.write_text(
        json.dumps({"birds": "lab/birds", "bats": {"path": str(tmp_path / "somewhere"), "licence": "mit"}})
    )
    assert SSASTConfig.from_pretrained("bats").hidden_size == config.hidden_size
    assert checkpoints.table()["birds"].repo == "lab/birds"
    assert main(["checkpoints", "--json"]) == 0
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (rows["bats"]["here"], rows["bats"]["licence"], rows["birds"]["here"]) == ("here", "mit", "no")
    assert len(rows) == 15 + len(checkpoints.OWN)

    other = tmp_path / "other.json"
    monkeypatch.setenv("SSAST_CHECKPOINTS", str(other))
    with pytest.raises(ValueError, match=r"SSAST_CHECKPOINTS is .*other.json, expected a JSON file"):
        checkpoints.table()
    for content, message in (
        ("{", "is not JSON"),
        ("[]", "holds list, expected a JSON object"),
        ('{"a": {"repo": "x/y", "path": "z"}}', "'a' is .*either repo or path"),
        ('{"a": {"repo": "x/y", "sha": "z"}}', "either repo or path and any of size"),
        ('{"a": {"repo": "x/y", "patches": "square"}}', "patches of 'a' is 'square', expected 'patch' or 'frame'"),
    ):
        other.write_text(content)
        with pytest.raises(ValueError, match=message):
            checkpoints.table()


def test_the_family_can_be_another_organisations(monkeypatch):
    monkeypatch.setenv("SSAST_ORGANIZATION", "lab")
    entry = checkpoints.table()["ssast-base-patch"]
    assert (entry.repo, entry.revision, entry.sha256) == ("lab/ssast-base-patch", None, None)


def test_the_table_is_printed_without_torch():
    code = "import sys; from ssast_hf.cli import main; main(['checkpoints']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["NAME", "SIZE", "PATCHES"]
    assert any(line.startswith("ssast-base-frame-250 ") and "SSAST-Base-Frame-250.pth" in line for line in lines)


# transformers' AST layout


@pytest.mark.parametrize("keys", ["v4", "v5"])
def test_a_supervised_ast_gives_its_own_logits(ast, keys, tmp_path):
    save_ast(ast, tmp_path / "ast", keys)
    model = SSASTForAudioClassification.from_pretrained(tmp_path / "ast").eval()
    input_values = torch.randn(2, 70, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(input_values).logits, ast(input_values).logits, rtol=0, atol=1e-5)
    assert (model.config.pooling, model.config.layer_norm_eps, model.config.classifier_layer_norm_eps) == (
        "cls", 1e-12, 1e-12
    )  # fmt: skip
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert model.config.patch_grid() == (4, 6)
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path / "ast")
    assert (extractor.num_mel_bins, extractor.max_length, extractor.mean, extractor.std) == (48, 70, -5.0, 3.0)
    assert extractor.return_attention_mask is None

    mean = SSASTForAudioClassification.from_pretrained(tmp_path / "ast", pooling="mean")
    assert mean.config.pooling == "mean"
    model.save_pretrained(tmp_path / "ours")
    again = SSASTForAudioClassification.from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        assert torch.equal(again(input_values).logits, model(input_values).logits)


@pytest.mark.parametrize("keys", ["v4", "v5"])
def test_a_bare_ast_encoder_and_one_in_shards(ast, keys, tmp_path):
    save_ast(ast.audio_spectrogram_transformer, tmp_path / "bare", keys)
    ast.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 1
    input_values = torch.randn(1, 70, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = ast.audio_spectrogram_transformer(input_values)
        for name in ("bare", "shards"):
            found = SSASTModel.from_pretrained(tmp_path / name).eval()(input_values)
            for output in ("last_hidden_state", "pooler_output"):
                torch.testing.assert_close(getattr(found, output), getattr(expected, output), rtol=0, atol=1e-5)


def test_pretraining_from_an_encoder_says_what_is_new(ast, tmp_path, caplog):
    save_ast(ast, tmp_path / "ast")
    transformers_logging.set_verbosity_warning()  # the command line, in other tests, silences it
    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("transformers"), "propagate", True)
        model = SSASTForPreTraining.from_pretrained(tmp_path / "ast", frequency_stride=16, time_stride=16)
    assert "holds the encoder alone: the mask token and both heads of SSASTForPreTraining are new" in caplog.text
    assert f"from: {tmp_path / 'ast'}" in caplog.text
    assert model.config.patch_grid() == (3, 4)


def test_rectangular_patches_are_seen_in_the_weights(tmp_path):
    """As custom code on the Hub makes them: the configuration may not tell, and no code is run."""
    ours = SSASTModel(SSASTConfig(**SMALL, num_mel_bins=48, max_length=70, frequency_patch_size=48, time_patch_size=2))
    state = {}
    for name, value in ours.state_dict().items():
        parts = zip("qkv", value.chunk(3)) if ".qkv." in name else [("", value)]
        state.update({name.replace(".qkv.", f".{part}_proj."): values.clone() for part, values in parts})
    (tmp_path / "rectangular").mkdir()
    save_file(state, tmp_path / "rectangular" / "model.safetensors", {"format": "pt"})
    content = ASTConfig(**SMALL, num_mel_bins=48, max_length=70, frequency_stride=48, time_stride=2).to_dict()
    content["auto_map"] = {"AutoModel": "evil.Model"}
    (tmp_path / "rectangular" / "evil.py").write_text("raise SystemExit('code was run')")
    (tmp_path / "rectangular" / "config.json").write_text(json.dumps(content))
    model = SSASTModel.from_pretrained(tmp_path / "rectangular").eval()
    assert model.config.patch_grid() == (1, 35)
    assert (model.config.mask_cluster_min, model.config.mask_cluster_max) == (1, 1)
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in model.state_dict().items())


def test_ast_states_with_holes_or_more_are_refused(ast):
    state = ast.state_dict()
    with pytest.raises(ValueError, match="Found a tensor 'decoder.weight', which no AST checkpoint has"):
        ast_state_to_ours({**state, "decoder.weight": torch.zeros(1)})
    state.pop(f"{AST_PREFIX}layers.0.attention.k_proj.bias")
    with pytest.raises(ValueError, match=r"only q, v of query, key and value of ssast.layers.0.attention.qkv.bias"):
        ast_state_to_ours(state)


def test_other_models_are_refused(tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    for load in (SSASTConfig, *CLASSES):
        with pytest.raises(
            (ValueError, OSError), match="is a checkpoint of bert, expected ssast or audio-spectrogram"
        ):
            load.from_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "preprocessor_config.json").write_text(
        '{"feature_extractor_type": "Wav2Vec2FeatureExtractor"}'
    )
    with pytest.raises(ValueError, match="Wav2Vec2FeatureExtractor, expected SSASTFeatureExtractor or ASTFeature"):
        SSASTFeatureExtractor.from_pretrained(tmp_path / "bert")


# Files that must not be opened, or cannot


def test_a_pickle_is_refused_and_taken_when_asked_for(config, tmp_path):
    model = SSASTModel(config)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"no model.safetensors, only pytorch_model.bin: a pickle can run code"):
        SSASTModel.from_pretrained(tmp_path / "model")
    trusted = SSASTModel.from_pretrained(tmp_path / "model", use_safetensors=False)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in trusted.state_dict().items())


@pytest.mark.parametrize("layout", ["ssast", "ast"])
def test_weights_cut_short_are_an_error_of_one_sentence(config, ast, layout, tmp_path):
    model = SSASTModel(config) if layout == "ssast" else ast
    model.save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(
        OSError, match=r"weights of .*model in .* are damaged or cut short .*: copy or save it again\.$"
    ):
        SSASTModel.from_pretrained(tmp_path / "model")


# Back to the other layouts


@pytest.mark.parametrize("fine_tuned", [False, True])
def test_the_way_back_to_an_official_file_is_byte_equal(fine_tuned, tmp_path):
    state = fine_tuned_state(512) if fine_tuned else pretraining_state()
    torch.save(state, tmp_path / "official.pth")
    assert main(["convert", "official.pth", "ours"]) == 0
    assert main(["convert", "ours", "back", "--to", "official"]) == 0
    back = torch.load(tmp_path / "back" / "best_audio_model.pth", weights_only=True)
    assert back.keys() == {key if key.startswith("module.") else f"module.{key}" for key in state}
    for name, value in state.items():
        found = back[name if name.startswith("module.") else f"module.{name}"]
        assert (found.dtype, found.shape) == (value.dtype, value.shape), name
        if "v.head" not in name:  # timm's, never used
            assert found.numpy().tobytes() == value.numpy().tobytes(), name
    assert main(["convert", "back/best_audio_model.pth", "again"]) == 0
    for name, value in load_file(tmp_path / "again" / "model.safetensors").items():
        assert torch.equal(value, load_file(tmp_path / "ours" / "model.safetensors")[name])
    assert main(["convert", "ours", "one.pth", "--to", "official"]) == 0
    assert main(["convert", "ours", "one.pth", "--to", "official"]) == 2
    assert main(["convert", "ours", "one.pth", "--to", "official", "--overwrite"]) == 0


def test_to_transformers_ast_with_the_same_hidden_states(config, tmp_path):
    model = SSASTForPreTraining(config).eval()
    model.save_pretrained(tmp_path / "ours")
    SSASTFeatureExtractor(num_mel_bins=24, max_length=40, mean=-5.0).save_pretrained(tmp_path / "ours")
    assert main(["convert", "ours", "ast", "--to", "ast"]) == 0
    ast = ASTModel.from_pretrained(tmp_path / "ast").eval()
    input_values = torch.randn(2, 40, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.ssast(input_values).last_hidden_state
        torch.testing.assert_close(ast(input_values).last_hidden_state, expected, rtol=0, atol=1e-5)
    extractor = ASTFeatureExtractor.from_pretrained(tmp_path / "ast")
    assert (extractor.num_mel_bins, extractor.max_length, extractor.mean) == (24, 40, -5.0)
    back = SSASTModel.from_pretrained(tmp_path / "ast", pooling="mean")
    assert all(torch.equal(value, model.ssast.state_dict()[name]) for name, value in back.state_dict().items())


def test_a_classifier_goes_to_ast_and_back(ast, tmp_path):
    save_ast(ast, tmp_path / "ast")
    convert_checkpoint(tmp_path / "ast", tmp_path / "ours")
    convert_checkpoint(tmp_path / "ours", tmp_path / "again", to="ast")
    again = ASTForAudioClassification.from_pretrained(tmp_path / "again").eval()
    assert again.config.id2label == ast.config.id2label
    assert all(torch.equal(value, ast.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["ours", "out", "--to", "official"], "Found the encoder alone"),
        (["frame", "out", "--to", "ast"], "expected square ones"),
        (["ours", "out", "--mean", "-5", "--pooling", "cls"], "pooling is for official files"),
        (["ours"], "give either DIR or --name NAME"),
        (["ours", "out", "--name", "ssast-tiny-patch"], "give either DIR or --name NAME"),
        (["ours", "full"], "not empty"),
        (["nowhere", "out"], "neither a directory nor a checkpoint's name"),
    ],
)
def test_conversions_that_cannot_be(config, argv, message, tmp_path, capsys):
    SSASTModel(config).save_pretrained(tmp_path / "ours")
    SSASTFeatureExtractor(num_mel_bins=24, max_length=40).save_pretrained(tmp_path / "ours")
    frame = SSASTConfig(**SMALL, num_mel_bins=24, max_length=40, frequency_patch_size=24, time_patch_size=2)
    SSASTModel(frame).save_pretrained(tmp_path / "frame")
    SSASTFeatureExtractor(num_mel_bins=24, max_length=40).save_pretrained(tmp_path / "frame")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert main(["convert", *argv]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(("size", "patches"), [("tiny", (16, 16)), ("tiny", (128, 2)), ("small", (16, 16))])
def test_verification_of_a_conversion_passes_and_can_fail(size, patches, tmp_path):
    from conversion.verify import TOLERANCE, largest_differences

    torch.save(seeded.pretraining_checkpoint(size, *patches), tmp_path / "official.pth")
    convert_checkpoint(tmp_path / "official.pth", tmp_path / "ours")
    assert max(largest_differences(tmp_path / "official.pth", tmp_path / "ours").values()) < TOLERANCE
    model = load_checkpoint(tmp_path / "ours")
    assert isinstance(model, SSASTForPreTraining)
    model.ssast.layers[5].mlp.fc1.weight.data[0] += 0.1
    model.save_pretrained(tmp_path / "ours")
    assert max(largest_differences(tmp_path / "official.pth", tmp_path / "ours").values()) > TOLERANCE


def test_a_folder_of_official_files_is_converted(tmp_path):
    folder = tmp_path / "downloads"
    python = [sys.executable, "-W", "ignore", "-m"]
    root = checkpoints.BUNDLED.parents[1]
    make = [*python, "conversion.stand_ins", str(folder), "--only", "SSAST-Tiny-Frame-400.pth"]
    assert subprocess.run(make, capture_output=True, cwd=root).returncode == 0
    assert subprocess.run(make, capture_output=True, cwd=root).returncode == 2  # never replaces a file
    (folder / "SSAST-Base-Patch-400.pth").write_bytes(b"not a checkpoint")
    convert = [*python, "conversion.convert_folder", str(folder)]
    done = subprocess.run(convert, capture_output=True, text=True, cwd=root)
    assert done.returncode == 1
    assert "SSAST-Base-Patch-400.pth: " in done.stderr
    assert done.stdout.splitlines()[-1].startswith("| SSAST-Tiny-Frame-400.pth | ssast-tiny-frame | 5.7 M | 160 + 6 |")
    assert done.stdout.splitlines()[-1].endswith("| yes |")
    assert official_state_dict(SSASTForPreTraining.from_pretrained("ssast-tiny-frame")).keys() == (
        seeded.pretraining_checkpoint("tiny", 128, 2).keys()
    )
