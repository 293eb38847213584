# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The recipes' prepare modules on small copies of the official layouts, and their YAML files through the command."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from recipes import summarize
from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining, load_audio
from ssast_hf.cli import main

from .helpers import ROOT, SOUNDS, Sounds, files_of, labels_of, made, prepare, rows_of

RECIPES = sorted(
    path for path in (ROOT / "recipes").glob("*/*.yaml")
    if path.parent.name not in ("demo", "pretrain") and path.stem != "pretrain"
)  # fmt: skip
OURS = ("debian_audio", "fsdd", "emodb")  # not of the paper's tasks: one recipe each, whatever the patches
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


@pytest.fixture(scope="module")
def esc50(tmp_path_factory) -> Path:
    root, sounds = tmp_path_factory.mktemp("esc50") / "ESC-50-master", Sounds()
    table = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in ((0, "dog"), (36, "vacuum_cleaner"), (14, "chirping_birds")):
            for take in "AB":
                name = f"{fold}-{100 * fold + target}-{take}-{target}.wav"
                sounds.write(root / "audio" / name)
                table.append(f"{name},{fold},{target},{category},True,{100 * fold + target},{take}")
    (root / "meta").mkdir()
    (root / "meta/esc50.csv").write_text("\n".join(table) + "\n")
    return root


def test_esc50_has_five_folds_that_share_no_recording(esc50, tmp_path):
    """From the archive as GitHub serves it, and from the folder: the same."""
    archive = shutil.make_archive(tmp_path / "ESC-50-master", "zip", esc50.parent, "ESC-50-master")
    assert "fold3/train.csv: 24 clips, 3 labels of 8 to 8 clips" in made("esc50", archive, "--output", tmp_path / "z")
    made("esc50", esc50, "--output", tmp_path / "f")
    tested = set()
    for fold in range(1, 6):
        folder = tmp_path / f"f/fold{fold}"
        train, test = rows_of(folder / "train.csv"), rows_of(folder / "test.csv")
        assert (len(train), len(test)) == (24, 6)
        assert all(Path(row["file"]).name.startswith(f"{fold}-") for row in test)
        assert not {row["source"] for row in train} & {row["source"] for row in test}
        assert labels_of(folder / "test.csv") == ["chirping_birds", "dog", "vacuum_cleaner"]
        assert not files_of(folder / "train.csv") & files_of(folder / "test.csv")
        tested |= files_of(folder / "test.csv")
        unpacked = rows_of(tmp_path / f"z/fold{fold}/test.csv")
        assert [Path(row["file"]).name for row in unpacked] == [Path(row["file"]).name for row in test]
        files_of(tmp_path / f"z/fold{fold}/train.csv")
    assert len(tested) == 30


def test_nothing_is_overwritten_and_what_is_missing_is_named(esc50, tmp_path):
    (tmp_path / "mine.txt").touch()
    done = prepare("esc50", esc50, "--output", tmp_path)
    assert done.returncode == 2 and "is not empty" in done.stderr
    made("esc50", esc50, "--output", tmp_path, "--overwrite")
    copy = tmp_path / "copy"
    shutil.copytree(esc50, copy)
    (copy / "audio/2-200-A-0.wav").unlink()
    done = prepare("esc50", copy, "--output", tmp_path / "o")
    assert done.returncode == 2 and "1 of 30 files are missing, such as" in done.stderr
    assert "2-200-A-0.wav" in done.stderr and not (tmp_path / "o").exists()
    done = prepare("esc50", tmp_path / "nowhere", "--output", tmp_path / "o")
    assert done.returncode == 2 and "does not exist" in done.stderr
    done = prepare("esc50", SOUNDS[0], "--output", tmp_path / "o")
    assert done.returncode == 2 and "neither a folder nor an archive" in done.stderr


@pytest.fixture(scope="module")
def speech_commands(tmp_path_factory) -> Path:
    root, sounds = tmp_path_factory.mktemp("speech") / "speech_commands_v0.01", Sounds()
    lists = {"validation_list.txt": [], "testing_list.txt": []}
    for word in (*KEYWORDS, "bed", "wow"):
        for number, speaker in enumerate(("0a7c2a8d", "1b4c9b89", "ffd2ba2f", "0a7c2a8d")):
            name = f"{word}/{speaker}_nohash_{number // 3}.wav"
            sounds.write(root / name)
            for speakers, file in (("1b4c9b89", "validation_list.txt"), ("ffd2ba2f", "testing_list.txt")):
                if speaker == speakers:
                    lists[file].append(name)
    for name in ("doing_the_dishes", "white_noise"):
        sounds.write(root / "_background_noise_" / f"{name}.wav", seconds=12.5)
    (root / "_background_noise_/README.md").write_text("noise")
    for file, names in lists.items():
        (root / file).write_text("\n".join(names) + "\n")
    return root


def test_speech_commands_words_follow_the_official_lists(speech_commands, tmp_path):
    made("speechcommands", speech_commands, "--output", tmp_path)
    for name, speaker, clips in (("validation", "1b4c9b89", 12), ("test", "ffd2ba2f", 12), ("train", "0a7c2a8d", 24)):
        rows = rows_of(tmp_path / f"{name}.csv")
        assert len(rows) == len(files_of(tmp_path / f"{name}.csv")) == clips
        assert {row["speaker"] for row in rows} == {speaker}
        assert labels_of(tmp_path / f"{name}.csv") == sorted([*KEYWORDS, "bed", "wow"])
        assert all(Path(row["file"]).parent.name == row["label"] for row in rows)


def test_keywords_have_unknown_and_silence(speech_commands, tmp_path):
    """Twelve labels in every part; silence is the background noise, cut up, no piece in two parts."""
    test_set = tmp_path / "speech_commands_test_set_v0.01"
    sounds = Sounds()
    for label in (*KEYWORDS, "_unknown_", "_silence_"):
        sounds.write(test_set / label / "0ba018fc_nohash_0.wav")
    archive = shutil.make_archive(str(test_set), "gztar", test_set)
    common = [speech_commands, "--task", "keywords"]
    made("speechcommands", *common, "--output", tmp_path / "a")
    made("speechcommands", *common, "--output", tmp_path / "b", "--test-set", archive)
    twelve = sorted([*KEYWORDS, "_unknown_", "_silence_"])
    pieces = []
    for name in ("train", "validation", "test"):
        assert labels_of(tmp_path / f"a/{name}.csv") == twelve
        rows = rows_of(tmp_path / f"a/{name}.csv")
        assert {Path(row["file"]).parent.name for row in rows if row["label"] == "_unknown_"} == {"bed", "wow"}
        silent = [tmp_path / "a" / row["file"] for row in rows if row["label"] == "_silence_"]
        assert len(silent) == {"train": 20, "validation": 2, "test": 2}[name]
        pieces += silent
    noise = load_audio(speech_commands / "_background_noise_/white_noise.wav")
    for piece in pieces:
        wave = load_audio(piece)
        assert len(wave) == 16000
        if piece.stem.startswith("white_noise"):
            start = 16000 * int(piece.stem.rpartition("_")[2])
            np.testing.assert_allclose(wave, noise[start : start + 16000], atol=1e-4)
    assert len({path.name for path in pieces}) == 24
    assert labels_of(tmp_path / "b/test.csv") == twelve and len(rows_of(tmp_path / "b/test.csv")) == 12
    assert all("0ba018fc" in row["file"] for row in rows_of(tmp_path / "b/test.csv"))


def test_a_list_that_names_what_is_not_there_is_an_error(speech_commands, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(speech_commands, copy)
    (copy / "wow/ffd2ba2f_nohash_0.wav").unlink()
    done = prepare("speechcommands", copy, "--output", tmp_path / "o")
    assert done.returncode == 2 and "1 files of the official lists are missing" in done.stderr


def test_iemocap_has_four_emotions_and_five_sessions(tmp_path):
    root, sounds = tmp_path / "IEMOCAP_full_release", Sounds()
    for session in range(1, 6):
        for dialog in (f"Ses0{session}F_impro01", f"Ses0{session}M_script02_2b"):
            lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            for number, emotion in enumerate(("neu", "fru", "ang", "exc", "xxx", "sad", "hap", "oth")):
                name = f"{dialog}_{'FM'[number % 2]}00{number}"
                lines.append(f"[{number}.2901 - {number + 1}.2357]\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]")
                lines += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
                sounds.write(root / f"Session{session}/sentences/wav/{dialog}/{name}.wav")
            folder = root / f"Session{session}/dialog/EmoEvaluation"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{dialog}.txt").write_text("\n".join(lines))
            (folder / f"._{dialog}.txt").write_bytes(b"\x00\xff")  # as in the release
    made("iemocap", root, "--output", tmp_path / "o")
    for fold in range(1, 6):
        test, train = (rows_of(tmp_path / f"o/fold{fold}/{name}.csv") for name in ("test", "train"))
        assert (len(test), len(train)) == (10, 40)
        assert {row["speaker"] for row in test} == {f"Ses0{fold}F", f"Ses0{fold}M"}
        assert len({row["speaker"] for row in train}) == 8
        emotions = {Path(row["file"]).stem[-1]: row["label"] for row in test}
        assert emotions == {"0": "neu", "2": "ang", "3": "hap", "5": "sad", "6": "hap"}
        assert not files_of(tmp_path / f"o/fold{fold}/test.csv") & files_of(tmp_path / f"o/fold{fold}/train.csv")


def test_spoken_digits_have_folds_of_speakers_and_of_digits(tmp_path):
    """From the archive: no speaker, or no digit, is on both sides; other files are passed over."""
    root, sounds = tmp_path / "free-spoken-digit-dataset-master", Sounds()
    for digit in range(10):
        for speaker in ("george", "jackson", "theo"):
            for take in (0, 12):
                sounds.write(root / f"recordings/{digit}_{speaker}_{take}.wav")
    sounds.write(root / "extra.wav")
    archive = shutil.make_archive(str(root), "zip", tmp_path, root.name)
    made("fsdd", archive, "--output", tmp_path / "o")
    everything = rows_of(tmp_path / "o/fsdd.csv")
    assert len(everything) == 60 and {row["take"] for row in everything} == {"0", "12"}
    for task, folds, held in (
        ("digits", ("george", "jackson", "theo"), "speaker"), ("speakers", ("0-4", "5-9"), "digit"),
    ):  # fmt: skip
        assert {path.name for path in (tmp_path / "o" / task).iterdir()} == {f"fold{fold}" for fold in folds}
        tested = []
        for fold in folds:
            folder = tmp_path / f"o/{task}/fold{fold}"
            train, test = rows_of(folder / "train.csv"), rows_of(folder / "test.csv")
            assert not {row[held] for row in train} & {row[held] for row in test}
            assert len(files_of(folder / "train.csv") | files_of(folder / "test.csv")) == 60
            assert all(row["label"] == row[task[:-1]] for row in train + test)
            tested += [row["file"] for row in test]
        assert len(tested) == len(set(tested)) == 60
    done = prepare("fsdd", tmp_path / "o/digits", "--output", tmp_path / "p")
    assert done.returncode == 2 and "found no clips" in done.stderr


def test_emodb_has_seven_emotions_and_folds_of_speakers(tmp_path):
    sounds, letters = Sounds(), "WLEAFTN"
    for speaker, sentences in (("03", ("a01", "b02")), ("08", ("a01",)), ("09", ("a01",)), ("10", ("a01",))):
        for sentence in sentences:
            for letter in letters:
                sounds.write(tmp_path / f"download/wav/{speaker}{sentence}{letter}a.wav")
    (tmp_path / "download/erkennung.txt").write_text("x")
    (tmp_path / "download/wav").rename(tmp_path / "elsewhere")
    (tmp_path / "download/wav").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    made("emodb", tmp_path / "download", "--output", tmp_path / "o")
    names = ("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral")
    tested = []
    for fold in range(3):
        train, test = (rows_of(tmp_path / f"o/fold{fold}/{name}.csv") for name in ("train", "test"))
        assert not {row["speaker"] for row in train} & {row["speaker"] for row in test}
        assert len(train) + len(test) == 35
        for row in train + test:
            assert row["label"] == row["emotion"] == dict(zip(letters, names))[Path(row["file"]).stem[5]]
            assert Path(row["file"]).stem[:5] == row["speaker"] + row["sentence"]
        tested.append(sorted({row["speaker"] for row in test}))
    assert sorted(tested) == [["03"], ["08", "10"], ["09"]]
    made("emodb", tmp_path / "download", "--output", tmp_path / "p", "--folds", "4")
    assert len(list((tmp_path / "p").glob("fold*"))) == 4
    done = prepare("emodb", tmp_path / "download", "--output", tmp_path / "q", "--folds", "5")
    assert done.returncode == 2 and "--folds is 5, expected 2 to 4" in done.stderr


def test_voxceleb_follows_the_official_split(tmp_path):
    """Sound in one folder or in the two of the official archives."""
    sounds, lines = Sounds(), []
    for speaker in ("id10001", "id10270"):
        for number in range(6):
            name = f"{speaker}/1zcIwhmdeo{number}/0000{number}.wav"
            lines.append(f"{1 if number < 4 else number - 2} {name}")
            sounds.write(tmp_path / ("vox1_test_wav" if speaker == "id10270" else "vox1_dev_wav") / "wav" / name)
    split = tmp_path / "iden_split.txt"
    split.write_text("\n".join(lines) + "\n")
    both = (tmp_path / "vox1_dev_wav", tmp_path / "vox1_test_wav")
    made("voxceleb", *both, "--split", split, "--output", tmp_path / "a")
    made("voxceleb", tmp_path, "--split", split, "--output", tmp_path / "b")
    for name, clips in (("train", 8), ("validation", 2), ("test", 2)):
        assert len(files_of(tmp_path / f"a/{name}.csv")) == clips
        assert files_of(tmp_path / f"a/{name}.csv") == files_of(tmp_path / f"b/{name}.csv")
        assert labels_of(tmp_path / f"a/{name}.csv") == ["id10001", "id10270"]
        assert all(f"/{row['label']}/" in row["file"] for row in rows_of(tmp_path / f"a/{name}.csv"))
    split.write_text("4 id10001/a/1.wav\n")
    done = prepare("voxceleb", tmp_path, "--split", split, "--output", tmp_path / "c")
    assert done.returncode == 2 and "line 1: '4 id10001/a/1.wav', expected 1, 2 or 3" in done.stderr


def test_audioset_matches_segments_with_files(tmp_path):
    lists, sounds = tmp_path / "lists", Sounds()
    lists.mkdir()
    names = {"/m/09x0r": "Speech", "/t/dd00088": "Gush", "/m/05zppz": "Male speech, man speaking"}
    classes = [f'{i},{mid},"{name}"' for i, (mid, name) in enumerate(names.items())]
    (lists / "class_labels_indices.csv").write_text("\n".join(["index,mid,display_name", *classes]) + "\n")
    header = "# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=3, num_segs=3\n"
    header += "# YTID, start_seconds, end_seconds, positive_labels\n"
    (lists / "balanced_train_segments.csv").write_text(
        header + '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n-0RWZT-miFs, 420.000, 430.000, "/m/05zppz"\n'
        'gone_gone_g, 0.000, 10.000, "/m/09x0r"\n_abcABC123-, 7.500, 17.500, "/m/09x0r,/m/05zppz"\n'
    )
    (lists / "eval_segments.csv").write_text(header + '--4gqARaEJE, 0.000, 10.000, "/m/09x0r,/t/dd00088,/m/05zppz"\n')
    for name in ("train/--PJHxphWEs_30.000.wav", "train/Y-0RWZT-miFs.wav", "train/_abcABC123-_7500_17500.wav",
                 "eval/--4gqARaEJE.wav", "eval/--4gqARaEJE_30.000.wav"):  # fmt: skip
        sounds.write(tmp_path / "sound" / name)
    said = made("audioset", tmp_path / "sound", "--lists", lists, "--output", tmp_path / "o")
    assert "3 of 4 segments found" in said and "1 of 1 segments found" in said
    train = [json.loads(line) for line in (tmp_path / "o/train.jsonl").read_text().splitlines()]
    assert [row["label"] for row in train] == [
        ["Speech", "Gush"], ["Male speech, man speaking"], ["Speech", "Male speech, man speaking"]
    ]  # fmt: skip
    assert len(files_of(tmp_path / "o/train.jsonl")) == 3
    (evaluated,) = files_of(tmp_path / "o/eval.jsonl")
    assert evaluated.name == "--4gqARaEJE.wav"  # not another segment of the same video
    assert "gone_gone_g\t0.000" in (tmp_path / "o/missing.txt").read_text()
    assert (tmp_path / "o/class_labels_indices.csv").read_text() == (lists / "class_labels_indices.csv").read_text()
    (lists / "eval_segments.csv").write_text('--4gqARaEJE, 0.000, 10.000, "/m/none"\n')
    done = prepare("audioset", tmp_path / "sound", "--lists", lists, "--output", tmp_path / "p")
    assert done.returncode == 2 and "/m/none, which class_labels_indices.csv has not" in done.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recipes_are_read_as_they_are_meant(recipe):
    """Every entry is a flag whose value arrives; the model and the strides fit the recipe's kind."""
    from dataclasses import fields

    from ssast_hf.training.arguments import parse
    from ssast_hf.training.finetune import FineTuningArguments, FineTuningDataArguments

    entries = yaml.safe_load(recipe.read_text())
    argv = [str(recipe), "--output_dir", "/nowhere"]
    data, training, _ = parse((FineTuningDataArguments, FineTuningArguments), argv, "finetune", "")
    values = {field.name: getattr(part, field.name) for part in (training, data) for field in fields(part)}
    for name, value in entries.items():
        if name != "output_dir":
            found = getattr(values[name], "value", values[name])
            expected = float(value) if isinstance(found, float) else value
            assert found == expected, name
    readme = (recipe.parent / "README.md").read_text()
    assert recipe.name in readme and "prepare" in readme
    if recipe.parent.name in OURS:
        if "frozen" not in entries:
            assert SSASTConfig.tiny(max_length=entries["max_length"]).patch_grid() == (8, entries["max_length"] // 16)
        assert recipe.stem in data.data.split("/") and training.output_dir == "/nowhere"
        return
    kind = recipe.stem.rpartition("_")[2]
    assert entries["model"] == f"ssast-base-{kind}"
    fields_of_grid = {name: entries[name] for name in ("max_length", "frequency_stride", "time_stride")}
    rows, columns = SSASTConfig.tiny(patches=kind, **fields_of_grid).patch_grid()
    assert (rows, columns) == {
        "patch": (12, (entries["max_length"] - 16) // 10 + 1), "frame": (1, entries["max_length"] - 1)
    }[kind]  # fmt: skip


def test_a_recipe_runs_from_the_archive_to_the_results(esc50, tmp_path, monkeypatch):
    """The commands of recipes/esc50/README.md, with a tiny model and two steps."""
    made("esc50", esc50, "--output", tmp_path / "data/esc50")
    config = SSASTConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, intermediate_size=32)
    SSASTForPreTraining(config).save_pretrained(tmp_path / "tiny")
    SSASTFeatureExtractor().save_pretrained(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert main(["finetune", str(ROOT / "recipes/esc50/patch.yaml"), "--model", "tiny", "--max_steps", "2",
                 "--per_device_train_batch_size", "8", "--report_to", "none",
                 "--disable_tqdm", "True"]) == 0  # fmt: skip
    folder = tmp_path / "runs/esc50/patch/fold1"
    assert json.loads((folder / "test_results.json").read_text())["test_samples"] == 6
    assert json.loads((folder / "config.json").read_text())["frequency_stride"] == 10
    assert json.loads((folder / "training.json").read_text())["recipe"] == "esc50/patch.yaml"
    shutil.copytree(folder, tmp_path / "runs/esc50/patch/fold2")
    other = json.loads((folder / "test_results.json").read_text())["test_accuracy"]
    summary = subprocess.run(
        [sys.executable, "-m", "recipes.summarize", *sorted((tmp_path / "runs/esc50/patch").glob("fold*"))],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert summary.returncode == 0, summary.stderr
    row = re.search(r"^\| test_accuracy \| ([\d.]+) \| ([\d.]+) \| 2 \|$", summary.stdout, flags=re.M)
    assert float(row[1]) == pytest.approx(other, abs=1e-3) and float(row[2]) == 0


@pytest.fixture
def folds(tmp_path) -> list[Path]:
    """Results of two folds of 1 and 3 clips, by hand."""
    for name, accuracy, rows in (
        ("fold0", 0.0, ["x/0.wav,kick,tom,0.2,0.8"]),
        ("fold1", 1.0, ["x/1.wav,kick,kick,0.9,0.1", "x/2.wav,tom,tom,0.1,0.9", "x/3.wav,kick,kick,0.7,0.3"]),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test_results.json").write_text(json.dumps({"test_accuracy": accuracy, "test_samples": 1}))
        table = "\n".join(["file,label,predicted,kick,tom", *rows]) + "\n"
        (tmp_path / name / "test_predictions.csv").write_text(table)
    return [tmp_path / "fold0", tmp_path / "fold1"]


def test_folds_are_judged_together(folds, capsys):
    """3 of 4 clips are right, where the mean over folds is 0.5; 2 of 3 kicks and the one tom."""
    assert summarize.main(["--together", *map(str, folds)]) == 0
    said = capsys.readouterr().out
    assert "| test_accuracy | 0.5000 |" in said and "4 clips together" in said
    assert "| accuracy | 0.7500 |" in said and f"| balanced accuracy | {(2 / 3 + 1) / 2:.4f} |" in said


def test_folds_of_other_labels_or_without_scores_are_refused(folds, capsys):
    path = folds[1] / "test_predictions.csv"
    path.write_text(path.read_text().replace("kick,tom\n", "kick,snare\n"))
    assert summarize.main(["--together", *map(str, folds)]) == 2
    assert "has other labels than" in capsys.readouterr().err
    path.unlink()
    assert summarize.main(["--together", *map(str, folds)]) == 2
    assert "does not exist: train with --save_predictions True" in capsys.readouterr().err


def test_a_run_that_is_given_twice_counts_once(folds, capsys):
    (folds[0].parent / "link").symlink_to(folds[1])
    assert summarize.main(["--together", *map(str, [*folds, folds[1], folds[0].parent / "link"])]) == 0
    said = capsys.readouterr().out
    assert "| test_accuracy | 0.5000 | 0.7071 | 2 |" in said and "4 clips together" in said


@pytest.mark.parametrize("name, flag, text, reason", [
    ("test_results.json", [], '{"test_accuracy": 0.', "test_results.json is not JSON"),
    ("test_results.json", [], "[1]", "is no table of metrics"),
    ("test_predictions.csv", ["--together"], "", "has no rows"),
])  # fmt: skip
def test_results_that_are_damaged_are_named(name, flag, text, reason, folds, capsys):
    (folds[1] / name).write_text(text)
    assert summarize.main([*flag, *map(str, folds)]) == 2
    assert reason in capsys.readouterr().err
