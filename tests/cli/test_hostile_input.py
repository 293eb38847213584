# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile checkpoints, manifests and archives: one line and exit status 2, or a file that is skipped."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTModel, classify, embed
from ssast_hf.checkpoints.loading import load_to_train
from ssast_hf.cli import main
from ssast_hf.data.folders import read_tar
from ssast_hf.inference import embed_collection

SOUND = Path(__file__).parents[1] / "data/sounds/misc_crow.flac"


def run(capsys, *argv) -> str:
    """What a command that must refuse its input says on standard error."""
    assert main([str(argument) for argument in argv]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("ssast: error: ")
    return said


def edited(checkpoint: Path, folder: Path, **fields) -> Path:
    """A copy of a checkpoint with other values in its configuration."""
    shutil.copytree(checkpoint, folder)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **fields}))
    return folder


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 10**6}, "`num_hidden_layers` is 1000000, expected at most 1000"),
        ({"num_mel_bins": 10**7}, "`num_mel_bins` is 10000000, expected at most 4096"),
        ({"intermediate_size": 10**9}, "a model of these sizes has 1.28e+11 parameters, expected at most 4.29e+09"),
        ({"id2label": None, "num_labels": 10**8}, "`num_labels` is 100000000, expected a whole number from 0"),
        ({"id2label": {"0": "a", "2": "b"}}, "`id2label` has the keys 0, 2, expected 0 to 1 without gaps"),
        ({"id2label": {"x": "a"}}, "`id2label` has the keys x, expected 0 to 0"),
        ({"id2label": {"0": None}}, "`id2label` has a value that is no text"),
        ({"dtype": "os"}, "`dtype` is 'os', expected a type of tensors"),
        ({"output_hidden_states": "x"}, "`output_hidden_states` is 'x', expected True, False"),
        ({"intermediate_size": 64}, "do not have the shapes that its config.json says"),
        ({"hidden_size": 64}, "do not have the shapes that its config.json says"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_one_line(checkpoints, tmp_path, capsys, fields, message):
    """Where the sizes are too large, before anything is allocated."""
    folder = edited(checkpoints / "classifier", tmp_path / "model", **fields)
    assert message in run(capsys, "classify", SOUND, "--model", folder)
    shutil.rmtree(folder)
    folder = edited(checkpoints / "classifier", tmp_path / "model", **fields)
    assert message in run(capsys, "embed", SOUND, "--model", folder, "--output", tmp_path / "e.npz")
    assert not (tmp_path / "e.npz").exists()


def test_a_shard_that_is_missing_is_named(checkpoints, tmp_path, capsys):
    folder = edited(checkpoints / "classifier", tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {"classifier.dense.bias": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    said = run(capsys, "classify", SOUND, "--model", folder)
    assert "has no model-00002-of-00002.safetensors, in which its model.safetensors.index.json says" in said


def without(checkpoint: Path, folder: Path, name: str) -> Path:
    shutil.copytree(checkpoint, folder)
    state = load_file(folder / "model.safetensors")
    (name,) = [key for key in state if key.endswith(name)]
    del state[name]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_an_encoder_with_random_weights_is_refused_wherever_it_is_used(checkpoints, tmp_path):
    """Also as a model that `from_pretrained` gave, with its warning; one that was trained since is not refused."""
    folder = without(checkpoints / "classifier", tmp_path / "model", "layers.1.mlp.fc1.weight")
    extractor = SSASTFeatureExtractor.from_pretrained(folder)
    encoder = SSASTModel.from_pretrained(folder).eval()
    classifier = SSASTForAudioClassification.from_pretrained(folder).eval()
    for call in (
        lambda: list(embed([SOUND], model=folder)),
        lambda: list(classify([SOUND], model=folder)),
        lambda: list(embed(encoder, extractor, [SOUND])),
        lambda: list(classify(classifier, extractor, [SOUND])),
        lambda: embed_collection(encoder, extractor, SOUND, tmp_path / "e.npz"),
    ):
        with pytest.raises(ValueError, match=r"layers\.1\.mlp\.fc1\.weight"):
            call()
    assert not (tmp_path / "e.npz").exists()
    with torch.no_grad():
        encoder.layers[1].mlp.fc1.weight.mul_(0.5)
    assert len(list(embed(encoder, extractor, [SOUND]))) == 1
    with pytest.raises(ValueError, match=r"lacks weights of SSASTForAudioClassification: ssast\.layers\.1\.mlp\.fc1"):
        load_to_train(SSASTForAudioClassification, folder, num_labels=2, ignore_mismatched_sizes=True)


def test_a_new_classifier_on_a_whole_encoder_is_no_error(checkpoints):
    model = SSASTForAudioClassification.from_pretrained(checkpoints / "pretrained", num_labels=3).eval()
    extractor = SSASTFeatureExtractor.from_pretrained(checkpoints / "pretrained")
    assert len(list(classify(model, extractor, [SOUND]))) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", 'file\n"' + "x\n" * 90000, "line 2: not a row of a table (field larger than field limit (131072))"),
        (
            "d.jsonl",
            "[" * 30000 + "]" * 30000,
            "d.jsonl, line 1: not a JSON object (it is not usable JSON: it is nested too deeply",
        ),
        ("d.json", "[" * 30000 + "]" * 30000, "d.json is not usable JSON: it is nested too deeply"),
        ("t.jsonl", "{,\n", "t.jsonl, line 1: not a JSON object (it is not JSON"),
    ],
)
def test_a_damaged_manifest_is_one_line(checkpoints, tmp_path, capsys, name, content, message):
    (tmp_path / name).write_text(content)
    assert message in run(capsys, "classify", tmp_path / name, "--model", checkpoints / "classifier")


def test_a_fifo_in_a_manifest_is_skipped_without_waiting_for_it(checkpoints, tmp_path, capsys):
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "m.csv").write_text(f"file\n{SOUND}\nfifo.wav\n")
    assert main(["classify", str(tmp_path / "m.csv"), "--model", str(checkpoints / "classifier")]) == 1
    said = capsys.readouterr()
    assert f"skipped {tmp_path}/fifo.wav: is a FIFO; expected an audio file" in said.err
    assert str(SOUND) in said.out


def test_a_member_that_claims_more_than_the_archive_holds_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(SOUND, "a.flac")
    clip = read_tar(path)[0]
    assert clip.open() == SOUND.read_bytes()
    entry = tarfile.TarInfo("b.flac")
    entry.size = 64 * 2**30
    with open(path, "r+b") as file:
        file.write(entry.tobuf())
    with pytest.raises(ValueError, match=rf"b\.flac is said to have {64 * 2**30} bytes, of which the archive holds"):
        read_tar(path)


def test_embeddings_are_not_written_to_devices(checkpoints, capsys):
    before = os.stat("/dev/null").st_rdev
    argv = ("--model", checkpoints / "pretrained", "--format", "npz", "--overwrite")
    assert "is a device or a FIFO" in run(capsys, "embed", SOUND, "--output", "/dev/null", *argv)
    assert os.stat("/dev/null").st_rdev == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\ndata: *b\n", "has an alias (*), expected flags and their values"),
        ("data: " + "[" * 3000 + "]" * 3000, "is nested deeply, expected flags and their values"),
        ("data: a\noutput_dir: x\ndata: b\n", "gives data several times, expected each flag once"),
        (b"\x00\xff", "is not YAML: 'utf-8' codec can't decode"),
        ("data: !!python/object/apply:os.getcwd []\n", "is not YAML: could not determine a constructor"),
    ],
)
def test_a_recipe_that_is_no_list_of_flags_is_one_line(tmp_path, capsys, content, message):
    """Nine lines of aliases to aliases took all memory; of two values for one flag the last one was taken."""
    path = tmp_path / "r.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert f"{path} {message}" in run(capsys, "finetune", path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "file,label,label\nx.wav,a,b\n", "m.csv has several columns label, expected one"),
        ("m.tsv", "file\tfile\nx.wav\ty.wav\n", "m.tsv has several columns file, expected one"),
        ("m.jsonl", '{"file": "x.wav", "label": "a", "label": "b"}\n', "m.jsonl, line 1: not a JSON object (it is"),
        ("m.json", '{"data": [{"wav": "x.wav", "wav": "y.wav"}]}', "m.json is not JSON: wav is there twice"),
    ],
)
def test_of_two_values_of_one_name_none_is_taken(checkpoints, tmp_path, capsys, name, content, message):
    (tmp_path / name).write_text(content)
    assert message in run(capsys, "classify", tmp_path / name, "--model", checkpoints / "classifier")


@pytest.mark.parametrize("name", ["loop.csv", "loop.tar", "loop.parquet"])
def test_a_link_to_itself_is_one_line(checkpoints, tmp_path, capsys, name):
    (tmp_path / name).symlink_to(tmp_path / name)
    said = run(capsys, "classify", tmp_path / name, "--model", checkpoints / "classifier")
    assert f"No such folder or manifest: {tmp_path}/{name}" in said


WRITERS = {
    "classify": (SOUND, "--model", "CLASSIFIER", "--overwrite", "--output", "x.csv"),
    "classify --plot": (SOUND, "--model", "CLASSIFIER", "--overwrite", "--plot", "x.png"),
    "classify to a folder": (SOUND, SOUND.parent, "--model", "CLASSIFIER", "--format", "audacity", "--overwrite",
                             "--output", "x"),
    "embed": (SOUND, "--model", "CLASSIFIER", "--overwrite", "--output", "x.npz"),
    "embed to a folder": (SOUND, "--model", "CLASSIFIER", "--overwrite", "--output", "x"),
    "export": ("--model", "CLASSIFIER", "--overwrite", "--onnx", "x.onnx"),
    "convert": ("--overwrite", "CLASSIFIER", "x"),
    "convert to a file": ("--to", "official", "--overwrite", "CLASSIFIER", "x.pth"),
    "pack": (SOUND.parent, "--overwrite", "--output", "x"),
    "evaluate": ("--data", "clips.csv", "--model", "CLASSIFIER", "--overwrite", "--output-dir", "x"),
    "finetune": ("--data", "clips.csv", "--model", "CLASSIFIER", "--overwrite", "--output_dir", "x"),
    "pretrain": ("--data", "clips.csv", "--model", "CLASSIFIER", "--overwrite", "--output_dir", "x"),
    "annotations": (SOUND.parent, "--window", "1", "--overwrite", "--output", "x.csv"),
}  # fmt: skip


def writing(name: str, checkpoints) -> list[str]:
    """Arguments of a command that writes x, or x and an ending."""
    replaced = {"CLASSIFIER": checkpoints / "classifier"}
    return [name.split()[0], *(str(replaced.get(argument, argument)) for argument in WRITERS[name])]


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_to_itself_is_not_replaced(checkpoints, tmp_path, capsys, monkeypatch, name):
    """Not with --overwrite either, and it is said before anything is computed."""
    monkeypatch.chdir(tmp_path)
    Path("clips.csv").write_text(f"file,label\n{SOUND},a\n")
    argv = writing(name, checkpoints)
    Path(argv[-1]).symlink_to(argv[-1])
    assert f"{argv[-1]} is a symbolic link that leads back to itself" in run(capsys, *argv)
    assert os.readlink(argv[-1]) == argv[-1] and sorted(os.listdir()) == sorted(["clips.csv", argv[-1]])


@pytest.mark.parametrize("name", ["classify to a folder", "embed", "export", "convert to a file"])
def test_what_cannot_be_written_through_is_no_output(checkpoints, tmp_path, capsys, monkeypatch, name):
    """A link to a FIFO, as to a device: neither is replaced."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    argv = writing(name, checkpoints)
    link = Path(argv[-1])
    if name == "classify to a folder":
        link.mkdir()
        link = link / "misc_crow.txt"
    link.symlink_to(tmp_path / "fifo")
    assert "a device or a FIFO, expected a file" in run(capsys, *argv)
    assert link.is_symlink() and Path("fifo").is_fifo()


def test_a_link_to_nothing_is_written_and_stays(checkpoints, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("classify", "embed", "embed to a folder", "convert"):
        argv = writing(name, checkpoints)
        target = Path(f"target of {argv[-1]}")
        Path(argv[-1]).unlink(missing_ok=True)
        Path(argv[-1]).symlink_to(target)
        assert main(argv) == 0 and os.readlink(argv[-1]) == str(target) and target.exists()
        shutil.rmtree(target) if target.is_dir() else target.unlink()


def test_a_link_into_a_directory_that_is_missing_is_refused_at_once(checkpoints, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("classify", "embed", "export"):
        argv = writing(name, checkpoints)
        Path(argv[-1]).symlink_to("/missing/x")
        assert "there is no directory /missing to write into" in run(capsys, *argv)


@pytest.mark.parametrize("overwritten", ["a/x.wav", "m.csv", "link.wav"])
def test_what_is_read_is_never_the_output(checkpoints, tmp_path, capsys, overwritten):
    """--overwrite is for results."""
    (tmp_path / "a").mkdir()
    shutil.copy(SOUND, tmp_path / "a/x.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "a/x.wav")
    (tmp_path / "m.csv").write_text("file\na/x.wav\n")
    source, target = tmp_path / ("m.csv" if overwritten == "m.csv" else "a"), tmp_path / overwritten
    before = target.read_bytes()
    model = ("--model", checkpoints / "classifier", "--overwrite")
    assert "is read, so it cannot be the output" in run(capsys, "classify", source, *model, "--output", target)
    if overwritten != "m.csv":
        said = run(capsys, "embed", source, *model, "--output", target, "--format", "npz")
        assert "is read, so it cannot be the output" in said
    assert target.read_bytes() == before


def write_embeddings(path: Path, **changes) -> None:
    about = {"level": "clip", "model": "m", "checksum": "0", "extractor": {}, "layers": None, "pooling": None}
    about = {**about, "channel": None, **changes.pop("metadata", {})}
    index = changes.pop("index", [{"file": "a", "row": 0, "rows": 1}, {"file": "b", "row": 1, "rows": 1}])
    arrays = {"embeddings": np.zeros((2, 3), np.float32), "files": np.array(["a", "b"]), **changes}
    about = {name: value for name, value in about.items() if value != "missing"}
    np.savez(path, **arrays, metadata=json.dumps(about), index=json.dumps(index))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": [1]}, "argument of type 'int' is not"),
        ({"index": [{"file": "a", "row": 0, "rows": 10**11}]}, "its index lists 100000000000 rows, and it has 2"),
        ({"index": [{"file": "a", "row": 5, "rows": 2}]}, "or in another order"),
        ({"embeddings": np.zeros(2, np.float32)}, "its embeddings have the shape (2,)"),
        ({"embeddings": np.array([["a"], ["b"]])}, "and the type <U1"),
        ({"metadata": {"level": "missing", "checksum": "missing"}}, "its metadata lacks checksum, level"),
    ],
)
def test_embeddings_that_do_not_fit_their_index_are_one_line(tmp_path, capsys, changes, message):
    write_embeddings(tmp_path / "e.npz", **changes)
    assert message in run(capsys, "similar", SOUND, tmp_path / "e.npz")
    (tmp_path / "e.npz").write_bytes(b"PK\x03\x04")
    assert "holds no embeddings" in run(capsys, "similar", SOUND, tmp_path / "e.npz")


def test_two_labels_of_one_name_are_refused(checkpoints, tmp_path, capsys):
    """The score of the first was lost."""
    folder = edited(checkpoints / "classifier", tmp_path / "model", id2label={"0": "a", "1": "b", "2": "a"})
    assert "has two labels 'a', expected one" in run(capsys, "classify", SOUND, "--model", folder)


def test_a_fifo_in_a_checkpoint_is_one_line(checkpoints, tmp_path, capsys):
    shutil.copytree(checkpoints / "classifier", tmp_path / "model")
    (tmp_path / "model/config.json").unlink()
    os.mkfifo(tmp_path / "model/config.json")
    for command in (
        ["classify", SOUND, "--model"],
        ["convert"],
        ["embed", SOUND, "--output", tmp_path / "e", "--model"],
    ):
        more = [tmp_path / "out"] if command == ["convert"] else []
        run(capsys, *command, tmp_path / "model", *more)


def test_a_dataset_that_is_none_is_one_line(tmp_path, capsys):
    assert "hf:: no name, expected hf:NAME" in run(capsys, "stats", "hf:")
    (tmp_path / "dataset_dict.json").write_text('{"splits": 5}')
    assert "cannot be loaded: 'int' object is not iterable" in run(capsys, "stats", f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--per_device_train_batch_size", "0", "is 0, expected 1 or more"),
        ("--gradient_accumulation_steps", "0", "is 0, expected 1 or more"),
        ("--num_train_epochs", "-1", "is -1.0, expected 0 or more"),
        ("--num_train_epochs", "nan", "is nan, expected 0 or more"),
        ("--folds", "9", "is 9, expected at most the number of clips, which is 4"),
    ],
)
def test_flags_that_cannot_be_meant_are_one_line(checkpoints, tmp_path, capsys, flag, value, message):
    """With -1 epochs, the model was saved as it was and said to be trained."""
    for label in ("drum", "voice"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(2):
            shutil.copy(SOUND, tmp_path / "data" / label / f"{index}.flac")
    argv = ("--data", tmp_path / "data", "--model", checkpoints / "pretrained", "--output_dir", tmp_path / "out")
    assert main(["finetune", *map(str, argv), flag, value]) == 2
    assert f"ssast: error: {flag} {message}" in capsys.readouterr().err
