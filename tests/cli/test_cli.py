# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The `ssast` command as users run it; in a subprocess where that matters, else through `main`, which is faster."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, load_audio
from ssast_hf.cli import main
from ssast_hf.inference import classify, embed, load_classifier

from ..fork_server import ssast_command
from ..official_states import fine_tuned_state, pretraining_state

SOUNDS = Path(__file__).parents[1] / "data/sounds"


def run(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    command = [*ssast_command(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **kwargs)


def test_no_command_is_answered_with_the_list_of_them(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert not out and all(re.search(rf"^    {name}\b", err, flags=re.M) for name in ("classify", "embed", "pretrain"))


def test_help_imports_neither_torch_nor_transformers():
    code = (
        "import sys, contextlib, io\nfrom ssast_hf.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'soundfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_import_is_lazy_and_registers_all_the_same(checkpoints):
    code = (
        "import sys, ssast_hf\nassert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification\n"
        f"path = {str(checkpoints / 'classifier')!r}\n"
        "print(*(type(c.from_pretrained(path)).__name__ for c in (AutoModel, AutoModelForAudioClassification, "
        "AutoFeatureExtractor)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["SSASTModel", "SSASTForAudioClassification", "SSASTFeatureExtractor"], done.stderr


def test_importing_transformers_first_registers_too(checkpoints):
    code = (
        "from transformers import AutoModelForPreTraining, pipeline\nimport ssast_hf\n"
        f"model = AutoModelForPreTraining.from_pretrained({str(checkpoints / 'pretrained')!r})\n"
        "print(type(model).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["SSASTForPreTraining"], done.stderr


def test_classify_goes_on_past_unreadable_files(checkpoints, sounds):
    done = run("classify", sounds, "--model", checkpoints / "classifier", "--top-k", 2, "--json")
    assert done.returncode == 1, done.stderr
    results = {Path(r["file"]).name: r for r in map(json.loads, done.stdout.splitlines())}
    assert results.keys() == {"broken.wav", "long.wav", "short.flac", "stereo.ogg", "too short.wav"}
    assert all(len(results[name]["labels"]) == 2 for name in ("long.wav", "short.flac", "stereo.ogg"))
    assert "error" in results["broken.wav"]
    assert "expected 400 or more" in results["too short.wav"]["error"]
    assert "2 of 5 file(s) could not be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_classify_prints_labels_for_people(checkpoints, sounds, capsys):
    path = str(sounds / "short.flac")
    assert main(["classify", path, "--model", str(checkpoints / "classifier")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == path
    assert {line.split()[1] for line in lines[1:]} == {"drum", "voice", "rest"}
    scores = [float(line.split()[0]) for line in lines[1:]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=2e-4)


def test_classification_does_not_depend_on_the_batch(checkpoints, sounds):
    """One file at a time, and all in one batch, by length: the same scores."""
    model = load_classifier(checkpoints / "classifier")
    extractor = SSASTFeatureExtractor.from_pretrained(checkpoints / "classifier")
    files = [sounds / name for name in ("long.wav", "short.flac", "stereo.ogg")] + sorted(SOUNDS.glob("*.flac"))
    together = dict(classify(model, extractor, files, batch_size=7))
    assert list(together) == list(map(str, files))
    for path in files:
        for label, score in dict(classify(model, extractor, [path], batch_size=1))[str(path)].items():
            assert together[str(path)][label] == pytest.approx(score, abs=1e-5)


def test_long_files_are_averaged_over_windows(checkpoints, sounds):
    """
    The windows are those of the whole spectrogram: frames 0 to 63, 64 to 127, ... Each counts by its length, here by a
    plain loop.
    """
    model = load_classifier(checkpoints / "classifier")
    extractor = SSASTFeatureExtractor.from_pretrained(checkpoints / "classifier")
    waveform = load_audio(sounds / "long.wav")
    windows = [waveform[start : start + 63 * 160 + 400] for start in range(0, len(waveform) - 399, 64 * 160)]
    scores = []
    with torch.no_grad():
        for window in windows:
            inputs = extractor(window, sampling_rate=16000, padding=True, pad_to_multiple_of=16, return_tensors="pt")
            scores.append(model(**inputs).logits.softmax(-1)[0])
    lengths = torch.tensor([float(len(window)) for window in windows])
    expected = (torch.stack(scores) * lengths[:, None]).sum(0) / lengths.sum()
    ((_, found),) = classify(model, extractor, [sounds / "long.wav"])
    for index, label in model.config.id2label.items():
        assert found[label] == pytest.approx(expected[index].item(), abs=1e-5)


@pytest.mark.parametrize(("level", "rows"), [("clip", 3), ("frame", 31 + 1 + 6), ("patch", 8 * (31 + 1 + 6))])
def test_embeddings_of_every_level_are_written(checkpoints, sounds, tmp_path, level, rows, capsys):
    files = [str(sounds / name) for name in ("long.wav", "short.flac", "stereo.ogg")]
    output = tmp_path / "e.npz"
    command = ["embed", *files, "--model", str(checkpoints / "pretrained"), "--output", str(output), "--level", level]
    assert main(command) == 0
    assert str(output) in capsys.readouterr().out
    with np.load(output) as arrays:
        assert list(arrays["files"]) == files
        assert arrays["embeddings"].shape == (rows, 32)
        assert arrays["embeddings"].dtype == np.float32
        assert np.isfinite(arrays["embeddings"]).all()
        if level != "clip":
            long = arrays["time"][arrays["file_index"] == 0]
            assert np.allclose(np.unique(long), 0.16 * np.arange(31))
        if level == "patch":
            assert set(arrays["mel_bin"]) == set(range(0, 128, 16))
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert [path.name for path in tmp_path.glob(".*.npz*")] == []


def test_embed_in_python_gives_the_models_outputs(checkpoints, sounds):
    from ssast_hf import SSASTModel

    model = SSASTModel.from_pretrained(checkpoints / "pretrained").eval()
    extractor = SSASTFeatureExtractor.from_pretrained(checkpoints / "pretrained")
    path = sounds / "short.flac"
    inputs = extractor(load_audio(path), sampling_rate=16000, padding=True, pad_to_multiple_of=16, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs)
    ((_, clip),) = embed(model, extractor, [path])
    np.testing.assert_allclose(clip["embeddings"], expected.pooler_output[0], atol=1e-5)
    ((_, patch),) = embed(model, extractor, [path], level="patch")
    np.testing.assert_allclose(patch["embeddings"], expected.last_hidden_state[0, 2:], atol=1e-5)
    with pytest.raises(ValueError, match="'clip', 'frame', 'patch'"):
        next(embed(model, extractor, [path], level="word"))


def test_convert(tmp_path, capsys):
    torch.save(pretraining_state(), tmp_path / "SSAST-Tiny-Patch-400.pth")
    assert main(["convert", str(tmp_path / "SSAST-Tiny-Patch-400.pth"), str(tmp_path / "out"), "--keys"]) == 0
    out = capsys.readouterr().out
    assert "160 tensors used, 6 dropped" in out
    assert "module.v.blocks.0.attn.qkv.weight" in out
    torch.save(fine_tuned_state(144), tmp_path / "best.pth")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\n")
    arguments = ["--label-names", str(tmp_path / "names.txt"), "--problem-type", "multi_label_classification"]
    assert main(["convert", str(tmp_path / "best.pth"), str(tmp_path / "classifier"), *arguments]) == 0
    config = SSASTConfig.from_pretrained(tmp_path / "classifier")
    assert (config.id2label[4], config.problem_type) == ("e", "multi_label_classification")
    sound = str(next(SOUNDS.glob("*.flac")))
    assert main(["classify", sound, "--model", str(tmp_path / "classifier"), "--top-k", "5", "--json"]) == 0
    labels = json.loads(capsys.readouterr().out.splitlines()[-1])["labels"]
    assert sum(label["score"] for label in labels) != pytest.approx(1, abs=1e-3)  # sigmoids


@pytest.mark.parametrize(
    "command",
    [["convert", "ssast-tiny-patch-debian", ""], ["pretrain", "--data", ".", "--output_dir", ""], ["classify", ""]],
)
def test_empty_arguments_are_not_this_directory(command, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "is empty, expected a value" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("classify {sounds}/short.flac --model {checkpoints}/pretrained", "not fine-tuned"),
        ("classify {sounds}/short.flac --model {sounds}", "expected the directory of a checkpoint"),
        ("classify {sounds}/short.flac --model {sounds}/nowhere", "No such directory"),
        ("classify {empty} --model {checkpoints}/classifier", "holds no audio files"),
        ("classify {sounds}/short.flac --model {checkpoints}/classifier --device cuda:99", "cuda:99"),
        ("classify {sounds}/short.flac --model {checkpoints}/classifier --top-k 0", "--top-k"),
        ("embed {sounds}/short.flac --model {checkpoints}/pretrained --output {empty}/x.txt", "in .npz or .parquet"),
        ("embed {sounds}/short.flac --model {checkpoints}/pretrained --output {empty}/no/x.npz", "no directory"),
        ("embed {sounds}/broken.wav --model {checkpoints}/pretrained --output {empty}/x.npz", "none of 1 file"),
        ("convert {sounds}/nowhere.pth {empty}/out", "No such file: "),
        ("convert {sounds}/short.flac {empty}/out", "is not a checkpoint"),
        ("pretrain --data {sounds}", "--output_dir"),
        ("finetune --data {sounds} --model {checkpoints}/pretrained --output_dir {empty}/o", "in no label's folder"),
        ("pretrain --data {empty} --output_dir {empty}/o", "holds no sound files"),
        ("pretrain --data {sounds} --output_dir {sounds}", "not empty"),
        ("pretrain --data {sounds} --output_dir {empty}/o --no_such_flag 1", "no_such_flag"),
        ("pretrain {empty}/no.yaml --data {sounds} --output_dir {empty}/o", "No such recipe"),
        ("pretrain --data {sounds} --output_dir {empty}/o --config [1]", "JSON object"),
        ("nonsense", "there is no command nonsense, expected one of classify, embed, "),
        ("pretrain --data= --output_dir {empty}/o", "--data is empty"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_status_2(command, message, checkpoints, sounds, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"sounds": str(sounds).replace(" ", "%"), "checkpoints": checkpoints, "empty": tmp_path / "empty"}
    arguments = [word.replace("%", " ") for word in command.format(**places).split()]
    try:
        status = main(arguments)
    except SystemExit as error:  # argparse
        status = error.code
    captured = capsys.readouterr()
    assert status == 2
    assert message in captured.err
    error_lines = [line for line in captured.err.splitlines() if "error:" in line]
    assert len(error_lines) == 1
    assert "Traceback" not in captured.err
    assert not (tmp_path / "empty" / "o").exists()


def test_a_closed_pipe_is_no_error(checkpoints, sounds):
    files = [str(sounds / "short.flac")] * 40
    command = [*ssast_command(), "classify", *files, "--model", str(checkpoints / "classifier")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait()


@pytest.mark.skipif(shutil.which("ssast") is None and not Path(sys.executable).with_name("ssast").exists(),
                    reason="not installed")  # fmt: skip
def test_the_console_script_is_installed():
    script = Path(sys.executable).with_name("ssast")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.startswith("ssast_hf ")
