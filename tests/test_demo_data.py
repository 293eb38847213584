# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""recipes/demo/prepare.py without its download: labels, the split by level, doubles, and what it leaves behind."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "recipes" / "demo" / "prepare.py"
spec = importlib.util.spec_from_file_location("demo_prepare", SCRIPT)
prepare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare)


def run_script(*arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    "path, expected",
    [
        ("usr/share/games/fillets-ng/sound/city/nl/vit-m-hlava.ogg", ("small_fish_dutch", "city")),
        ("sound/city/cs/vit-v-proc.ogg", ("big_fish_czech", "city")),
        ("sound/share/blackjokes/cs/smrt-m-0.ogg", ("small_fish_czech", "share-blackjokes")),
        ("sound/party1/nl/p-v-a-b-c.ogg", ("big_fish_dutch", "party1")),
        ("sound/city/cs/vit-hs-klid1.ogg", None),  # a side character
        ("sound/share/blackjokes/cs/smrt-x-obe.ogg", None),
        ("sound/gods/nl/proc-v.ogg", None),
        ("sound/city/vit-m-hlava.ogg", None),  # no language
        ("sound/city/nl/vit-m-hlava.txt", None),
        ("elsewhere/city/nl/vit-m-hlava.ogg", None),
    ],
)
def test_label_and_level_come_from_the_path(path, expected):
    assert prepare.parse_clip(Path(path)) == expected


def test_the_split_depends_on_the_level_alone_and_gives_about_a_sixth_to_the_test():
    levels = [f"level{number}" for number in range(600)]
    tested = [level for level in levels if prepare.is_test_level(level)]
    assert tested == [level for level in levels if prepare.is_test_level(level)]
    assert 70 <= len(tested) <= 130
    assert prepare.is_test_level("cellar") and not prepare.is_test_level("city")  # the same in every run and release


def test_deduplication_keeps_the_first_path_of_each_sound_and_no_silent_failures():
    keys = {Path("b"): "1", Path("a"): "1", Path("c"): "2", Path("e"): None, Path("d"): None}
    assert prepare.deduplicate(keys) == [Path("a"), Path("c")]
    assert prepare.deduplicate({}) == []


def test_the_key_is_of_the_decoded_sound(tmp_path):
    samples = np.random.default_rng(0).integers(-9999, 9999, 8000, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    soundfile.write(tmp_path / "b.flac", samples, 16000)
    soundfile.write(tmp_path / "c.flac", samples[::-1], 16000)
    soundfile.write(tmp_path / "empty.wav", samples[:0], 16000)
    keys = {name: prepare.sound_key(tmp_path / name) for name in ("a.wav", "b.flac", "c.flac", "empty.wav")}
    assert keys["a.wav"] == keys["b.flac"] != keys["c.flac"]
    assert keys["empty.wav"] is None


def test_the_data_set_is_split_by_level_without_doubles_and_named_in_sources(tmp_path, monkeypatch, capsys):
    """The whole program, with an unpacked package of six clips in place of the download."""
    generator = np.random.default_rng(0)

    def fake_run(*command, folder):
        if command[1] == "-f":
            return "1.0.1-1.1"
        root = Path(command[3])
        document = root / "usr/share/doc/fillets-ng-data-nl/copyright"
        document.parent.mkdir(parents=True)
        document.write_text("GNU General Public License\n")
        for level in ("cellar", "city"):  # a level of the test split and one of the training split
            folder = root / "usr/share/games/fillets-ng/sound" / level / "nl"
            folder.mkdir(parents=True)
            for name in ("x-m-one", "x-v-two", "x-hs-other"):
                soundfile.write(folder / f"{name}.ogg", generator.standard_normal(4000) / 10, 22050)
            shutil.copy(folder / "x-m-one.ogg", folder / "x-m-one-again.ogg")
        return ""

    monkeypatch.setattr(prepare.debian, "fetch", lambda package, folder: folder / f"{package}_1.0.1-1.1_all.deb")
    monkeypatch.setattr(prepare.debian, "run", fake_run)
    monkeypatch.setattr(prepare.debian.shutil, "which", lambda tool: tool)
    monkeypatch.setattr(sys, "argv", ["prepare.py", str(tmp_path / "demo")])
    assert prepare.main() == 0
    made = sorted(path.relative_to(tmp_path / "demo").as_posix() for path in (tmp_path / "demo").rglob("*.*"))
    assert made == [
        "SOURCES.md",
        "test/big_fish_dutch/cellar_x-v-two.ogg",
        "test/small_fish_dutch/cellar_x-m-one-again.ogg",
        "train/big_fish_dutch/city_x-v-two.ogg",
        "train/small_fish_dutch/city_x-m-one-again.ogg",
    ]
    sources = (tmp_path / "demo" / "SOURCES.md").read_text()
    assert "## fillets-ng-data-nl 1.0.1-1.1" in sources and "GNU General Public License" in sources
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["SOURCES.md", "test", "train"]

    monkeypatch.setattr(prepare, "make", None)  # a second run makes nothing
    assert prepare.main() == 0
    assert "ready" in capsys.readouterr().out


def test_a_machine_without_apt_gets_status_3_one_line_and_an_empty_folder(tmp_path):
    result = run_script(tmp_path / "demo", PATH=str(tmp_path))
    assert result.returncode == prepare.UNAVAILABLE == 3
    assert result.stderr == "the demo data cannot be fetched here: apt-get is not installed\n"
    assert list((tmp_path / "demo").iterdir()) == []


def test_a_folder_with_other_data_is_left_alone(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.wav").touch()
    result = run_script(tmp_path)
    assert result.returncode == 2 and "train exists" in result.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["train", "mine.wav"]
