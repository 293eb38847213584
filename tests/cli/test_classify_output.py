# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast classify --output`: complete or said to be partial, and resumed by the same command."""

import csv
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf import load_audio
from ssast_hf.cli import main

from ..fork_server import ssast_command

FILES = 16


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """Sounds of 0.2 to 5 s and one that cannot be read."""
    folder = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(0)
    for index in range(FILES):
        samples = 0.1 * rng.standard_normal(int(16000 * rng.uniform(0.2, 5)))
        soundfile.write(folder / f"{index:02}.wav", samples, 16000)
    (folder / "07.wav").write_bytes(b"RIFF nonsense")
    return folder


def command_for(checkpoints: Path, source: Path, output: Path, *flags: str) -> list[str]:
    return ["classify", str(source), "--model", str(checkpoints / "classifier"), "--batch-size", "1",
            "--output", str(output), *flags]  # fmt: skip


def kill_after(command: list[str], condition, signum: int = signal.SIGKILL) -> subprocess.CompletedProcess:
    """Starts the command in a subprocess and kills it as soon as the condition holds."""
    process = subprocess.Popen([*ssast_command(), *command], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


def same(found: Path, expected: Path) -> None:
    """The same rows; scores may differ by rounding, because the batches do."""
    found_rows, expected_rows = rows(found), rows(expected)
    assert [row[:5] for row in found_rows] == [row[:5] for row in expected_rows]
    scores = np.array([[float(row[5]) for row in part[1:]] for part in (found_rows, expected_rows)])
    np.testing.assert_allclose(scores[0], scores[1], atol=2e-6)


@pytest.mark.parametrize("flags", [(), ("--hop", "0.4", "--num-workers", "2")])
def test_killed_runs_go_on_and_give_the_result_of_an_uninterrupted_one(checkpoints, collection, tmp_path, flags):
    flags = ("--format", "csv", *flags)
    expected, output = tmp_path / "expected.csv", tmp_path / "labels.csv"
    assert main(command_for(checkpoints, collection, expected, *flags)) == 1
    command = command_for(checkpoints, collection, output, *flags)
    journal = tmp_path / "labels.csv.progress"
    for count in (2, 8):

        def far_enough(count=count) -> bool:
            return journal.exists() and journal.read_bytes().count(b"\n") > count

        assert kill_after(command, far_enough).returncode == -signal.SIGKILL
        assert not output.exists()
    done = subprocess.run([*ssast_command(), *command], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    resumed = int(done.stdout.split("of them in earlier runs")[0].split()[-1])
    assert resumed >= 8 and done.stdout.startswith(f"{output}: labels of {FILES - 1} sound(s), {resumed} of them")
    assert f"1 of {FILES} file(s) could not be read" in done.stderr
    same(output, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.csv", "labels.csv"]


def test_a_killed_run_that_writes_label_tracks_goes_on(checkpoints, collection, tmp_path):
    tracks, pictures = tmp_path / "tracks", tmp_path / "pictures"
    flags = ("--format", "audacity", "--plot", str(pictures))
    command = command_for(checkpoints, collection, tracks, *flags)
    killed = kill_after(command, lambda: len(list(tracks.glob("*.txt"))) > 3)
    assert killed.returncode == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in tracks.glob("*.txt")}
    assert main(command) == 1
    names = {f"{index:02}" for index in range(FILES)} - {"07"}
    assert {path.name for path in tracks.iterdir()} == {f"{name}.txt" for name in names}
    assert {path.name for path in pictures.iterdir()} == {f"{name}.png" for name in names}
    again = [path for path, mtime in before.items() if path.stat().st_mtime_ns != mtime]
    assert len(again) <= 1  # that which was complete, but not yet noted as such
    assert not (tmp_path / "tracks.progress").exists()
    assert main(command) == 2  # complete now: nothing is replaced


def test_ctrl_c_in_a_single_long_sound_leaves_its_windows_under_a_name_that_says_so(checkpoints, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.tile(load_audio(Path("tests/data/sounds/misc_crow.flac")), 400), 16000)
    output, partial = tmp_path / "labels.csv", tmp_path / "labels.csv.partial"
    command = command_for(checkpoints, tmp_path / "long.wav", output, "--format", "csv", "--hop", "0.05")
    killed = kill_after(command, lambda: partial.exists() and partial.stat().st_size > 100, signal.SIGINT)
    assert killed.returncode == 130 and not output.exists()
    assert f"interrupted after 0 of 1 sound(s): {partial} holds the labels so far" in killed.stderr
    assert "Traceback" not in killed.stderr
    assert len(rows(partial)) > 1


def test_another_command_does_not_go_on_with_an_unfinished_run(checkpoints, collection, tmp_path, capsys):
    output = tmp_path / "labels.jsonl"
    command = command_for(checkpoints, collection, output, "--json")
    journal = tmp_path / "labels.jsonl.progress"
    kill_after(command, lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
    assert main([*command, "--top-k", "1"]) == 2
    assert "unfinished run with other top_k" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--top-k", "1"]) == 1
    assert all(len(json.loads(line).get("labels", [1])) == 1 for line in output.read_text().splitlines())


def test_two_processes_do_not_write_one_output(checkpoints, collection, tmp_path):
    output = tmp_path / "labels.csv"
    command = command_for(checkpoints, collection, output, "--format", "csv")
    said = []

    def run_another() -> bool:
        if not (tmp_path / "labels.csv.partial").exists():
            return False
        journal = tmp_path / "labels.csv.progress"
        from ssast_hf.cli.label_output import Journal

        with pytest.raises(ValueError, match="is being written by another process") as error:
            Journal(journal, {}, True)
        said.append(error)
        return True

    kill_after(command, run_another)
    assert said


def test_a_foreign_file_of_the_journals_name_is_left_alone(checkpoints, collection, tmp_path, capsys):
    (tmp_path / "labels.csv.progress").write_text("my notes\n")
    assert main(command_for(checkpoints, collection, tmp_path / "labels.csv")) == 2
    assert "is not of an unfinished run" in capsys.readouterr().err
    assert (tmp_path / "labels.csv.progress").read_text() == "my notes\n"


def test_devices_fifos_and_symlinks(checkpoints, collection, tmp_path):
    sound = collection / "00.wav"
    assert main(command_for(checkpoints, sound, "/dev/null")) == 0
    command = [*ssast_command(), *command_for(checkpoints, sound, "/dev/stdout", "--json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert len(json.loads(done.stdout)["labels"]) == 3, done.stderr
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    assert main(command_for(checkpoints, sound, link)) == 2  # it exists
    assert main(command_for(checkpoints, sound, link, "--overwrite")) == 0
    assert link.is_symlink() and str(sound) in target.read_text()


def test_times_of_parts_are_those_of_the_recording_in_every_format(checkpoints, collection, tmp_path):
    sound, manifest = tmp_path / "long.wav", tmp_path / "parts.csv"
    soundfile.write(sound, 0.1 * np.random.default_rng(0).standard_normal(16000 * 6), 16000)
    manifest.write_text("file,offset,duration\nlong.wav,2,1.5\nlong.wav,4.5,1\n")
    command = command_for(
        checkpoints, manifest, tmp_path / "x.csv", "--format", "csv", "--window", "0.5", "--top-k", "1"
    )
    assert main(command) == 0
    found = [(row[1], float(row[2]), float(row[3])) for row in rows(tmp_path / "x.csv")[1:]]
    windows = [("window", start, start + 0.5) for start in (2, 2.5, 3)] + [("file", 2, 3.5)]
    assert found == [*windows, ("window", 4.5, 5), ("window", 5, 5.5), ("file", 4.5, 5.5)]
    assert (
        main(command_for(checkpoints, manifest, tmp_path / "tracks", "--format", "audacity", "--window", "0.5")) == 0
    )
    assert (tmp_path / "tracks/long.txt").read_text().startswith("2.000000\t2.500000\t")
    assert main(command_for(checkpoints, manifest, tmp_path / "x.jsonl", "--json", "--window", "0.5")) == 0
    first = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    assert (first["start"], first["end"]) == (2, 2.5)
    assert main(command_for(checkpoints, manifest, tmp_path / "x.txt", "--window", "0.5")) == 0
    assert (tmp_path / "x.txt").read_text().splitlines()[1].split()[:2] == ["2.00", "2.50"]


@pytest.mark.parametrize("value", ["-0.1", "1.01", "50", "nan", "inf"])
def test_a_threshold_that_is_no_probability_is_refused(checkpoints, collection, tmp_path, value, capsys):
    command = command_for(checkpoints, collection / "00.wav", tmp_path / "x.csv", f"--threshold={value}")
    try:
        assert main(command) == 2
    except SystemExit as exit:
        assert exit.code == 2
    assert "--threshold" in capsys.readouterr().err and os.listdir(tmp_path) == []


def test_a_threshold_shows_every_label_that_reaches_it(checkpoints, collection, tmp_path):
    for format in ("csv", "audacity", "json", "text"):
        output = tmp_path / f"x.{format}"
        assert (
            main(command_for(checkpoints, collection / "00.wav", output, "--threshold", "0", "--format", format)) == 0
        )
        text = output.read_text()
        assert all(label in text for label in ("drum", "voice", "rest")), format


def test_progress_is_shown_on_a_terminal_and_ends_with_a_line(checkpoints, collection, tmp_path):
    command = command_for(checkpoints, collection, tmp_path / "labels.csv", "--format", "csv")
    main_end, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen([*ssast_command(), *command], stdout=subprocess.PIPE, stderr=end)
    os.close(end)
    shown = b""
    while True:
        try:
            data = os.read(main_end, 65536)
        except OSError:  # the terminal is closed
            break
        if not data:
            break
        shown += data
    out = process.communicate(timeout=60)[0].decode()
    assert f"/{FILES}" in shown.decode() and "h of sound a minute" in shown.decode()
    assert out.startswith(f"{tmp_path / 'labels.csv'}: labels of {FILES - 1} sound(s); ")


def test_a_log_has_neither_bars_nor_escape_codes(checkpoints, collection, tmp_path):
    command = command_for(checkpoints, collection, tmp_path / "labels.csv", "--format", "csv")
    done = subprocess.run([*ssast_command(), *command], capture_output=True, text=True)
    assert done.stderr.splitlines() == [
        f"ssast: skipped {collection / '07.wav'}: " + done.stderr.split(": ", 2)[2].splitlines()[0],
        f"ssast: 1 of {FILES} file(s) could not be read",
    ]
    assert "\x1b" not in done.stderr + done.stdout and "\r" not in done.stderr + done.stdout
