# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast demo`: what its page computes, over HTTP as gradio's client asks for it, in a browser, and as a Space."""

import argparse
import configparser
import html
import importlib.util
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining, load_audio
from ssast_hf.cli import main
from ssast_hf.cli.demo import add_arguments, exposure, limits_of
from ssast_hf.inference import classify, load_classifier
from ssast_hf.utils.addresses import is_local
from ssast_hf.utils.turns import Turns

from ..conftest import SMALL

ROOT = Path(__file__).parents[2]
SOUNDS = ROOT / "tests/data/sounds"
SPACE = ROOT / "recipes/space"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_gradio = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="needs gradio")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """`patch`, `frame` and `classifier`, small and random, of 64 frames."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    names = {0: "drum", 1: "voice", 2: "$5 & up"}
    patch = SSASTConfig(**SMALL, max_length=64, id2label=names, label2id={name: i for i, name in names.items()})
    frame = SSASTConfig(**SMALL, max_length=64, frequency_patch_size=128, time_patch_size=2,
                        mask_cluster_min=1, mask_cluster_max=1)  # fmt: skip
    for name, model in (
        ("patch", SSASTForPreTraining(patch)),
        ("frame", SSASTForPreTraining(frame)),
        ("classifier", SSASTForAudioClassification(patch)),
    ):
        model.save_pretrained(folder / name)
        SSASTFeatureExtractor(max_length=64).save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def demos(checkpoints) -> dict:
    from ssast_hf.integrations.page import Demo, load_pretrained

    extractor = SSASTFeatureExtractor.from_pretrained(checkpoints / "patch")
    classifier = load_classifier(checkpoints / "classifier"), extractor
    return {
        "patch": Demo(load_pretrained(checkpoints / "patch"), extractor, *classifier),
        "frame": Demo(load_pretrained(checkpoints / "frame"), extractor),
    }


@pytest.fixture(scope="module")
def url(checkpoints):
    """Of the page, served as the command serves it but in this process."""
    from ssast_hf.integrations.page import load_page, serve

    page = load_page(str(checkpoints / "patch"), str(checkpoints / "classifier"), [SOUNDS / "misc_crow.flac"])
    yield serve(page)
    page.close()


@pytest.fixture(scope="module")
def wav(tmp_path_factory) -> Path:
    """3.5 s of a guitar, then a second of silence."""
    path = tmp_path_factory.mktemp("sound") / "guitar.wav"
    soundfile.write(path, np.concatenate([load_audio(SOUNDS / "guit_harmonics.flac"), np.zeros(16000)]), 16000)
    return path


def heard(demo, path):
    from ssast_hf.integrations.page import Sound

    sound = Sound(str(path), Path(path).name)
    list(demo.listen(sound))
    return sound


def rows(table: str) -> list[str]:
    """The rows of the table of sounds, as text."""
    found = re.findall(r"<tr.*?</tr>", table, flags=re.S)[1:]
    return [html.unescape(" ".join(re.sub(r"<[^>]*>", " ", row).split())) for row in found]


def as_png(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def test_without_gradio_the_command_says_what_to_install(tmp_path):
    code = "import sys\nsys.modules['gradio'] = None\nfrom ssast_hf.cli import main\nsys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "pip install 'ssast_hf[demo]'" in done.stderr


@needs_gradio
def test_the_labels_are_those_of_classify(demos, checkpoints, wav):
    sound = heard(demos["patch"], wav)
    model, scores = demos["patch"].classifier, sound.scores
    ((_, expected),) = classify(model, demos["patch"].extractor, [wav])
    assert list(scores) == list(expected) and scores == pytest.approx(expected, abs=1e-6)
    pictures = [Image.open(io.BytesIO(data)) for data in (sound.picture, sound.spectrogram)]
    assert [picture.format for picture in pictures] == ["PNG", "PNG"] and min(pictures[0].size) > 300
    seconds = soundfile.info(wav).duration
    assert pictures[1].size == (1 + int((seconds - 0.025) / 0.01 + 1e-6), 128)  # a pixel for a frame and a mel bin
    assert seconds - 0.655 - 0.1 <= sound.latest <= seconds - 0.655  # 64 frames end 655 ms after the first begins
    assert sound.patches == 8 * 4 and sound.complete and sound.seconds == pytest.approx(seconds, abs=0.01)
    assert set(sound.timelines) == set(scores)


@needs_gradio
def test_a_timeline_is_as_dark_as_its_windows_score(demos, wav):
    sound = heard(demos["patch"], wav)
    names = demos["patch"].labels()
    for name, png in sound.timelines.items():
        indices = np.array(Image.open(io.BytesIO(png)))
        assert indices.shape == (1, 2048)
        for start, end, scores in sound.windows:
            middle = int((start + end) / 2 / sound.seconds * 2048)
            assert indices[0, middle] == pytest.approx(255 * scores[names.index(name)], abs=0.51)


@needs_gradio
def test_without_a_classifier_there_are_no_labels(demos, wav):
    sound = heard(demos["frame"], wav)
    assert sound.scores == sound.timelines == {} and sound.windows == [] and sound.patches == 32
    assert sound.picture.startswith(b"\x89PNG")


@needs_gradio
@pytest.mark.parametrize("kind", ["patch", "frame"])
@pytest.mark.parametrize(("cluster", "num_masked"), [(1, 20), (4, 9), (2, 32)])
def test_the_error_shown_is_the_generative_loss_of_the_model(demos, wav, kind, cluster, num_masked):
    demo = demos[kind]
    picture, found = demo.reconstruct(str(wav), 1.0, cluster, num_masked, 3)
    assert picture.format == "PNG" and found["patches"] == 32 and found["masked"] == num_masked
    inputs = demo.extractor(load_audio(wav)[16000:], sampling_rate=16000, return_tensors="pt")["input_values"]
    from ssast_hf import sample_masks

    mask = sample_masks(1, (8, 4) if kind == "patch" else (1, 32), num_masked, cluster, cluster,
                        generator=torch.Generator().manual_seed(3))  # fmt: skip
    with torch.no_grad():
        outputs = demo.model(inputs, bool_masked_pos=mask)
    assert found["error"] == pytest.approx(outputs.loss_generative.item(), rel=1e-3)


@needs_gradio
def test_a_seed_gives_a_mask_again_and_another_another(demos, wav):
    first, again, other = (as_png(demos["patch"].reconstruct(str(wav), 0, 2, 16, seed)[0]) for seed in (1, 1, 2))
    assert first == again != other


@needs_gradio
@pytest.mark.parametrize("samples", [400, 2000, 5000])
def test_short_clips_have_patches_enough(demos, tmp_path, samples):
    """From one frame, 25 ms, on."""
    soundfile.write(tmp_path / "x.wav", 0.1 * np.random.default_rng(0).standard_normal(samples), 16000)
    for demo in demos.values():
        sound = heard(demo, tmp_path / "x.wav")
        patches = sound.patches
        assert sound.latest == 0 and patches >= 1
        for num_masked in (1, patches):
            _, found = demo.reconstruct(str(tmp_path / "x.wav"), 0, 1, num_masked, 0)
            assert found["patches"] == patches and np.isfinite(found["error"])
        with pytest.raises(ValueError, match=f"{patches + 1} patches are to be masked, expected 1 to {patches}"):
            demo.reconstruct(str(tmp_path / "x.wav"), 0, 1, patches + 1, 0)


@needs_gradio
@pytest.mark.parametrize("kind", ["patch", "frame"])
def test_silence_is_said_to_be_silent(demos, wav, tmp_path, kind):
    soundfile.write(tmp_path / "zeros.wav", np.zeros(40000), 16000)
    sound = heard(demos[kind], tmp_path / "zeros.wav")
    assert sound.error == "zeros.wav is silent, expected sound" and not sound.complete
    with pytest.raises(ValueError, match="is silent from 3.8 s"):
        demos[kind].reconstruct(str(wav), 3.8, 1, 10, 0)


@needs_gradio
def test_the_page_answers_over_http(url, wav):
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False, analytics_enabled=False)
    files = [handle_file(wav)]
    table, viewer, spectrogram, labels, _, *downloads = client.predict(files, 0.5, api_name="/listen")
    assert rows(table)[0].startswith("guitar.wav 0:04.5 ")
    assert "<audio" in viewer and 'role="slider"' in viewer and len(downloads) == 3
    assert {item["label"] for item in labels["confidences"]} == {"drum", "voice", "$5 & up"}
    assert sum(item["confidence"] for item in labels["confidences"]) == pytest.approx(1, abs=1e-4)
    picture, note = client.predict(files, 0.5, 2, 12, 1, api_name="/reconstruct")
    assert note.startswith("12 of 32 patches masked")
    for path in (spectrogram["value"], picture):
        assert Path(path).read_bytes().startswith(b"\x89PNG")


@needs_gradio
def test_a_long_sound_of_one_visitor_does_not_keep_another_waiting(checkpoints, wav, tmp_path):
    """The second visitor's answer comes long before the first one's."""
    from gradio_client import Client, handle_file

    from ssast_hf.integrations.page import load_page, serve

    soundfile.write(tmp_path / "long.flac", 0.1 * np.random.default_rng(0).standard_normal(16000 * 2400), 16000)
    page = load_page(str(checkpoints / "patch"), str(checkpoints / "classifier"))
    address = serve(page)
    try:
        first, second = (Client(address, verbose=False, analytics_enabled=False) for _ in range(2))
        long = first.submit([handle_file(tmp_path / "long.flac")], 0.5, api_name="/listen")
        time.sleep(1)
        _, _, _, labels, *_ = second.predict([handle_file(wav)], 0.5, api_name="/listen")
        assert len(labels["confidences"]) == 3 and not long.done()
        while not (outputs := long.outputs()):
            time.sleep(0.1)
        said = outputs[-1][0]
        assert re.search(r"<progress .*</progress> \d+:\d\d of 40:00", said)
        long.cancel()
    finally:
        page.close()


@needs_gradio
def test_larger_files_and_longer_sounds_than_allowed_are_refused(checkpoints, tmp_path):
    import httpx
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    from ssast_hf.integrations.page import load_page, serve

    for seconds in (2, 4, 40):
        sound = 0.1 * np.random.default_rng(0).standard_normal(16000 * seconds)
        soundfile.write(tmp_path / f"{seconds}.wav", sound, 16000)
    page = load_page(str(checkpoints / "patch"), None, max_seconds=3.0, max_files=2)
    address = serve(page, max_megabytes=1.0)
    upload = f"{address.rstrip('/')}/gradio_api/upload"

    def post(*names):
        files = [("files", (f"{name}.wav", (tmp_path / f"{name}.wav").read_bytes())) for name in names]
        answer = httpx.post(upload, files=files)
        return answer.status_code, answer.text

    client = Client(address, verbose=False, analytics_enabled=False)
    try:
        two = handle_file(tmp_path / "2.wav")
        assert rows(client.predict([two], api_name="/listen")[0]) == ["2.wav 0:02.0"]
        assert post(2)[0] == post(2, 4)[0] == 200
        assert post(4) == (413, "4.wav has 4.0 s of sound, expected at most 3 s.")
        assert post(2, 2, 2) == (413, "The upload has 3 files, expected at most 2.")
        assert post(40) == (413, "The upload of 1.3 MB has a file above 1 MB, which is the most.")
        assert post(40, 40) == (413, "The upload has 2.6 MB, expected at most 2 file(s) of at most 1 MB each.")
        assert httpx.post(upload, content=iter([b"x"])).status_code == 411
        copies = []
        for name in "abc":
            shutil.copy(tmp_path / "2.wav", tmp_path / f"{name}.wav")
            copies.append(handle_file(tmp_path / f"{name}.wav"))
        with pytest.raises(AppError, match=r"^3 sounds are given, expected at most 2 at a time$"):
            client.predict(copies, api_name="/listen")
    finally:
        page.close()


def test_turns_are_given_in_the_order_in_which_they_were_asked_for():
    turns, order = Turns(), []
    with turns:
        threads = []
        for name in "abc":
            threads.append(threading.Thread(target=lambda name=name: order.extend(turns.each(name * 2))))
            threads[-1].start()
            time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert order == list("abcabc")


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("box", False)]
)
def test_an_address_that_others_reach_is_said_to_expose_the_page(host, local):
    assert is_local(host) == local
    said = exposure(host, 200.0, 3600.0, 10)
    assert f"--host {host}: whoever can reach this machine" in said
    assert "10 file(s) at a time of up to 200 MB and 3600 s" in said


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], (10000, 172800, 500)),
        (["--host", "0.0.0.0"], (200, 3600, 10)),
        (["--host", "0.0.0.0", "--max-seconds", "7200", "--max-files", "3"], (200, 7200, 3)),
        (["--max-megabytes", "0.5"], (0.5, 172800, 500)),
    ],
)
def test_limits_are_strict_where_others_reach_the_page(flags, expected):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert limits_of(parser.parse_args(flags)) == expected


@needs_gradio
def test_what_is_wrong_with_a_sound_is_said_in_a_sentence(url, wav, tmp_path, capfd):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(url, verbose=False, analytics_enabled=False)
    soundfile.write(tmp_path / "short.wav", np.full(100, 0.1), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nonsense")
    wrong = (("short", "has 100 samples"), ("silent", "is silent"), ("broken", "cannot be decoded"))
    files = [handle_file(tmp_path / f"{name}.wav") for name, _ in wrong]
    table, viewer, *_ = client.predict([*files, handle_file(wav)], 0.5, api_name="/listen")
    *failed, last = rows(table)
    for row, (name, said) in zip(failed, wrong):
        assert row.startswith(f"{name}.wav {name}.wav {said}")
    assert last.startswith("guitar.wav 0:04.5")  # which the others do not stop
    assert "<h3>short.wav</h3>" in viewer and "has 100 samples" in viewer
    client = Client(url, verbose=False, analytics_enabled=False)  # another visitor
    soundfile.write(tmp_path / "brief.wav", load_audio(wav)[:2000], 16000)
    with pytest.raises(AppError, match=r"^9 patches are to be masked, expected 1 to 8"):
        client.predict([handle_file(tmp_path / "brief.wav")], 0, 2, 9, 0, api_name="/reconstruct")
    _, note = client.predict([handle_file(tmp_path / "brief.wav")], api_name="/reconstruct")
    assert note.startswith("6 of 8 patches masked")  # the model's share, 24 of 32
    with pytest.raises(AppError, match=r"samples"):
        client.predict([handle_file(tmp_path / "short.wav")], 0, 2, 4, 0, api_name="/reconstruct")
    with pytest.raises(AppError, match=r"^offset is 60 s; expected less than 4.532 s, the length of guitar.wav"):
        client.predict([handle_file(wav)], 60, 2, 4, 0, api_name="/reconstruct")
    assert "Traceback" not in "".join(capfd.readouterr())


@needs_gradio
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "classifier"], "cannot reconstruct"),
        (["--model", "patch", "--classifier", "patch"], "not fine-tuned"),
        (["--model", "./nowhere"], "No such directory"),
        (["--model", "patch", "--examples", "nowhere.wav"], "nowhere.wav"),
        (["--model", "patch", "--port", "TAKEN"], "cannot serve on 127.0.0.1 port"),
        (["--model", "patch", "--host", "no host"], "cannot serve on no host"),
    ],
)
def test_what_is_wrong_with_the_command_is_said_in_a_sentence(checkpoints, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(checkpoints)
    monkeypatch.setattr("gradio.Blocks.block_thread", lambda page: page.close())  # where it serves all the same
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["demo", *(port if word == "TAKEN" else word for word in arguments)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1, captured.err


@pytest.fixture
def sounds(wav, tmp_path) -> Path:
    """A folder of two sounds, one of whose names has brackets, and of another with the first one's name."""
    folder = tmp_path / "sounds"
    (folder / "other").mkdir(parents=True)
    shutil.copy(wav, folder / "guitar.wav")
    shutil.copy(SOUNDS / "misc_crow.flac", folder / "[crow].flac")
    soundfile.write(folder / "other/guitar.wav", load_audio(wav)[::-1], 16000)
    return folder


@needs_gradio
def test_the_downloads_are_what_classify_writes(url, checkpoints, sounds, monkeypatch):
    from gradio_client import Client, handle_file

    names = ["guitar.wav", "[crow].flac"]
    client = Client(url, verbose=False, analytics_enabled=False)
    client.predict([handle_file(sounds / name) for name in names], 0.5, api_name="/listen")
    table, events, *downloads = client.predict(0.34, api_name="/events")
    contents = [Path(download["value"]) for download in downloads]
    assert [path.name for path in contents] == ["events.csv", "events-audacity.zip", "events-raven.zip"]
    monkeypatch.chdir(sounds)
    command = ["classify", "--model", str(checkpoints / "classifier"), *names, "--events", "--threshold", "0.34"]
    assert main([*command, "--format", "csv", "--output", "events.csv"]) == 0
    assert contents[0].read_bytes() == Path("events.csv").read_bytes()
    found = Path("events.csv").read_text().splitlines()[1:]
    assert found and events.count("data-start=") == sum(line.startswith("guitar") for line in found)
    assert [int(row.split()[-1]) for row in rows(table)] == [
        sum(line.startswith(name) for line in found) for name in names
    ]
    for path, format in zip(contents[1:], ("audacity", "raven")):
        assert main([*command, "--format", format, "--output", format]) == 0
        with zipfile.ZipFile(path) as archive:
            tracks = {name: archive.read(name) for name in archive.namelist()}
        assert tracks == {track.name: track.read_bytes() for track in Path(format).iterdir()}


@needs_gradio
def test_sounds_of_one_name_are_told_apart(demos, sounds):
    from ssast_hf.integrations.page.visit import Visit, download

    visit, paths = Visit(), [str(sounds / name) for name in ("guitar.wav", "other/guitar.wav")]
    visit.take([*paths, paths[0]])
    assert [sound.name for sound in visit.sounds.values()] == ["guitar.wav", "guitar (2).wav"]
    for sound in visit.sounds.values():
        list(demos["patch"].listen(sound))
    labels = demos["patch"].labels()
    lines = download("csv", visit.complete(), labels, 0.0)[1].decode().splitlines()[1:]
    assert {line.split(",")[0] for line in lines} == {"guitar.wav", "guitar (2).wav"}
    with zipfile.ZipFile(io.BytesIO(download("raven", visit.complete(), labels, 0.0)[1])) as archive:
        tracks = archive.namelist()
        assert tracks == ["guitar.Table.1.selections.txt", "guitar (2).Table.1.selections.txt"]
        header, row, *_ = (line.split("\t") for line in archive.read(tracks[1]).decode().splitlines())
    assert dict(zip(header, row))["Begin File"] == "guitar.wav"  # as the file is called
    name, track = download("raven", visit.complete()[:1], labels, 0.0)
    assert name == "guitar.Table.1.selections.txt" and track.startswith(b"Selection\t")


@needs_gradio
def test_a_visit_keeps_what_was_analysed_when_files_are_added_or_removed(demos, sounds):
    from ssast_hf.integrations.page import Visit

    visit = Visit()
    first, second, third = (str(sounds / name) for name in ("guitar.wav", "[crow].flac", "other/guitar.wav"))
    visit.take([first, second])
    heard_first = visit.shown()
    list(demos["patch"].listen(heard_first))
    visit.take([third, first, second])
    assert visit.sounds[first] is heard_first and visit.chosen == first
    assert list(visit.sounds) == [third, first, second] and not visit.sounds[second].complete
    visit.take([third])
    assert visit.chosen == third
    visit.take([])
    assert visit.shown() is None


@needs_gradio
def test_an_analysis_that_was_cut_off_goes_on_where_it_was(demos, wav, tmp_path):
    from ssast_hf.integrations.page import Sound

    soundfile.write(tmp_path / "long.wav", np.tile(load_audio(wav), 8), 16000)
    begun = []

    def analyse(sound):
        begun.append(sound)
        return demos["patch"].listen(sound)

    sound = Sound(str(tmp_path / "long.wav"), "long.wav")
    assert sound.advance(analyse) and 0 < sound.seconds < sound.length and not sound.complete
    while sound.advance(analyse):
        pass
    assert begun == [sound] and sound.complete
    whole = heard(demos["patch"], tmp_path / "long.wav")
    assert [window[:2] for window in sound.windows] == [window[:2] for window in whole.windows]
    assert sound.scores == whole.scores


@needs_gradio
def test_names_and_labels_cannot_break_out_of_the_page(demos, wav):
    from ssast_hf.inference.events import Event
    from ssast_hf.integrations.page import Sound, markup

    nasty = "<script>\"'&{{value}}${1}`</script>"
    sound = heard(demos["patch"], wav)
    sound.name, sound.timelines, sound.scores = nasty, {nasty: b"", "b": b""}, {nasty: 0.7}
    event = Event(0.0, 1.0, nasty, 0.7)
    failed = Sound("x", nasty, error=nasty)
    parts = [
        markup.sounds_table([sound, failed], sound.path, [1, 0]),
        markup.viewer(sound),
        markup.viewer(failed),
        markup.events_view(sound, [event], [nasty], 0.5),
        markup.events_view(sound, [], [nasty] * 3, 0.99),
    ]
    for part in parts:
        assert not re.search(r"<script|\{\{|\$\{|`", part) and "&lt;script" in part
        assert html.unescape(part).count(nasty) >= 1


@needs_gradio
def test_labels_that_are_independent_have_events_and_values_have_none(demos, wav):
    from ssast_hf.integrations.page import Demo, build_page, markup

    demo, names = demos["patch"], ["drum", "voice", "$5 & up"]
    model = SSASTForAudioClassification(demo.classifier.config.__class__(**demo.classifier.config.to_dict())).eval()
    other = Demo(demo.model, demo.extractor, model, demo.extractor)
    model.config.problem_type = "multi_label_classification"
    sound = heard(other, wav)
    scores = np.stack([scores for _, _, scores in sound.windows])
    assert np.abs(scores.sum(1) - 1).max() > 0.01
    everything = sound.events(names, 0.0)
    assert [(event.start, event.label) for event in everything] == [(0.0, name) for name in sorted(names)]
    for event in everything:
        assert event.end == pytest.approx(sound.seconds)
        assert event.score == scores[:, names.index(event.label)].max()
    assert sound.events(names, 1.0) == []
    assert f"The highest score is {scores.max():.2f}" in markup.events_view(sound, [], names, 1.0)

    model.config.problem_type = "regression"
    sound = heard(other, wav)
    assert not other.has_events() and set(sound.timelines) == set(names)
    components = {block.__class__.__name__ for block in build_page(other).blocks.values()}
    assert "Dataframe" in components and "Label" not in components
    buttons = [block.label for block in build_page(other).blocks.values() if hasattr(block, "label")]
    assert "Raven" not in buttons and "Threshold" not in buttons


@needs_gradio
@pytest.mark.parametrize(
    ("seconds", "digits", "said"),
    [
        (0, 0, "0:00"),
        (59.999, 2, "1:00.00"),
        (61.25, 1, "1:01.2"),
        (3599.6, 0, "1:00:00"),
        (36000.5, 2, "10:00:00.50"),
    ],
)
def test_times_are_said_as_clocks_say_them(seconds, digits, said):
    from ssast_hf.integrations.page import markup

    assert markup.clock(seconds, digits) == said


@needs_gradio
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
@pytest.mark.parametrize("width", [1280, 375])
def test_a_browser_shows_the_answer_without_errors(url, wav, tmp_path, width):
    """
    Drops two sounds, of which one is broken; reads labels and reconstruction; hears moments; moves sliders; downloads;
    chooses the other sound; removes both.
    """
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    (tmp_path / "broken.wav").write_bytes(b"RIFF nonsense")
    errors, elsewhere = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 1000})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: elsewhere.append(request.url) if request.url.startswith("http") else None)
        page.goto(url)
        upload = page.locator("input[type=file]").first
        upload.wait_for(state="attached")
        upload.set_input_files([wav, tmp_path / "broken.wav"])
        page.get_by_text("25 of 32 patches masked").wait_for()  # 400 of 512, as in the paper
        page.get_by_text("2 of 2 analysed").wait_for()
        page.get_by_text("broken.wav cannot be decoded").wait_for()
        page.get_by_text("voice").first.wait_for()
        picture = page.locator("img[src*='/file=']")
        picture.scroll_into_view_if_needed()
        page.wait_for_function("""document.querySelector("img[src*='/file=']")?.naturalWidth > 600""")
        page.get_by_label("number input for Masked patches").fill("7")
        page.keyboard.press("Tab")
        page.get_by_text("7 of 32 patches masked").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width

        audio, timeline = page.locator("audio"), page.get_by_role("slider", name="Position in guitar.wav")
        page.wait_for_function("document.querySelector('audio').readyState > 0")
        strip = timeline.locator(".strip").first
        strip.click(position={"x": strip.bounding_box()["width"] / 2, "y": 20})
        page.wait_for_function("document.querySelector('audio').currentTime > 4.532 / 2 - 0.1")
        page.wait_for_function("!document.querySelector('audio').paused")
        timeline.press("Space")
        assert audio.evaluate("audio => audio.paused")
        timeline.press("Home")
        timeline.press("ArrowRight")
        assert audio.evaluate("audio => audio.currentTime") == pytest.approx(0.1, abs=0.01)
        assert timeline.get_attribute("aria-valuetext") == "0:00 of 0:04"
        page.get_by_label("number input for Threshold").fill("0.1")
        page.keyboard.press("Tab")
        page.get_by_label("Play voice from 0:00.00 to 0:04.53").click()
        page.wait_for_function("!document.querySelector('audio').paused")
        for name in ("CSV", "Audacity", "Raven"):
            with page.expect_download() as download:
                page.get_by_text(name, exact=True).click()
            assert "voice" in Path(download.value.path()).read_text(encoding="utf-8")
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        assert errors == []
        assert {f"{address.split('/')[2]}" for address in elsewhere} == {url.split("/")[2]}  # no other site is asked

        page.get_by_role("button", name="broken.wav", exact=True).click()
        page.get_by_role("alert").get_by_text("broken.wav cannot be decoded").wait_for()
        page.get_by_text("patches masked").wait_for(state="hidden")
        assert audio.count() == picture.count() == 0
        page.get_by_label("Clear").first.click()
        page.get_by_text("Nothing to analyse yet").wait_for()
        browser.close()


@needs_gradio
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
def test_a_sound_that_is_added_does_not_end_the_analysis_of_another(url, wav, tmp_path):
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    soundfile.write(tmp_path / "long.flac", 0.1 * np.random.default_rng(0).standard_normal(16000 * 3000), 16000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        upload = page.locator("input[type=file]").first
        upload.wait_for(state="attached")
        upload.set_input_files(tmp_path / "long.flac")
        page.locator("progress").wait_for()
        page.locator("input[type=file]").first.set_input_files(wav)
        page.get_by_text("waiting").wait_for()
        page.get_by_role("button", name="guitar.wav").focus()
        before = page.locator("progress").evaluate("progress => progress.value")
        assert before > 0
        page.wait_for_function(f"document.querySelector('progress').value > {before + 60}")
        page.wait_for_timeout(200)
        assert page.evaluate("document.activeElement.textContent") == "guitar.wav"  # though the table changes
        browser.close()


@needs_gradio
def test_the_space_runs_where_it_is_copied(checkpoints, tmp_path):
    """As its README says, with the package that is copied there, and no other."""
    readme = (SPACE / "README.md").read_text(encoding="utf-8")
    commands = (
        re.search(r"^```bash\n(.*?)^```$", readme, flags=re.M | re.S)
        .group(1)
        .replace("my_space", str(tmp_path / "space"))
    )
    subprocess.run(["bash", "-euc", commands], cwd=ROOT, check=True)
    names = {"ssast-tiny-patch-debian": "patch", "ssast-tiny-patch-debian-kinds": "classifier"}
    shutil.rmtree(tmp_path / "space/ssast_hf/bundled", ignore_errors=True)
    table = tmp_path / "checkpoints.json"
    table.write_text(json.dumps({name: {"path": str(checkpoints / path)} for name, path in names.items()}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "SSAST_CHECKPOINTS": str(table),
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("PYTHONPATH", None)
    code = (
        "import ssast_hf, runpy; print(ssast_hf.__file__, flush=True); runpy.run_path('app.py', run_name='__main__')"
    )
    app = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path / "space", env=environment,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    try:
        assert Path(app.stdout.readline().strip()) == tmp_path / "space/ssast_hf/__init__.py"
        line = ""
        while "http" not in line:
            line = app.stdout.readline()
            assert line, "it ended"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/config") as answer:
            config = json.load(answer)
        texts = json.dumps(config)
        assert "ssast-tiny-patch-debian-kinds" in texts and "misc_crow.flac" in texts
    finally:
        app.terminate()
        app.wait(20)


def test_the_space_asks_for_what_the_package_needs():
    metadata, requirements, setup = (
        (SPACE / "README.md").read_text(encoding="utf-8").split("---\n")[1],
        SPACE / "requirements.txt",
        configparser.ConfigParser(),
    )
    setup.read(ROOT / "setup.cfg")
    space = yaml.safe_load(metadata)
    assert (space["sdk"], space["app_file"]) == ("gradio", "app.py")
    needed = setup["options"]["install_requires"].split() + setup["options.extras_require"]["demo"].split()
    # The Space's own installer adds gradio, in `sdk_version`.
    assert requirements.read_text().split() == [line for line in needed if not line.startswith("gradio")]
