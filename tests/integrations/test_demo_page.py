# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast demo`: what its page computes, over HTTP as gradio's client asks for it, in a browser, and as a Space."""

import configparser
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
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining, load_audio
from ssast_hf.cli import main
from ssast_hf.cli.demo import exposure
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


def heard(demo, path) -> tuple:
    *waiting, result = demo.listen(str(path))
    assert not any(waiting)
    return result


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
    scores, picture, latest, patches = heard(demos["patch"], wav)
    model = demos["patch"].classifier
    ((_, expected),) = classify(model, demos["patch"].extractor, [wav])
    assert list(scores) == list(expected) and scores == pytest.approx(expected, abs=1e-6)
    assert picture.format == "PNG" and min(picture.size) > 300
    seconds = soundfile.info(wav).duration
    assert seconds - 0.655 - 0.1 <= latest <= seconds - 0.655  # 64 frames end 655 ms after the first begins
    assert patches == 8 * 4


@needs_gradio
def test_without_a_classifier_there_are_no_labels(demos, wav):
    scores, picture, _, patches = heard(demos["frame"], wav)
    assert scores == {} and picture.format == "PNG" and patches == 32


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
        _, _, latest, patches = heard(demo, tmp_path / "x.wav")
        assert latest == 0 and patches >= 1
        for num_masked in (1, patches):
            _, found = demo.reconstruct(str(tmp_path / "x.wav"), 0, 1, num_masked, 0)
            assert found["patches"] == patches and np.isfinite(found["error"])
        with pytest.raises(ValueError, match=f"{patches + 1} patches are to be masked, expected 1 to {patches}"):
            demo.reconstruct(str(tmp_path / "x.wav"), 0, 1, patches + 1, 0)


@needs_gradio
@pytest.mark.parametrize("kind", ["patch", "frame"])
def test_silence_is_said_to_be_silent(demos, wav, tmp_path, kind):
    soundfile.write(tmp_path / "zeros.wav", np.zeros(40000), 16000)
    with pytest.raises(ValueError, match="is silent"):
        list(demos[kind].listen(str(tmp_path / "zeros.wav")))
    with pytest.raises(ValueError, match="is silent from 3.8 s"):
        demos[kind].reconstruct(str(wav), 3.8, 1, 10, 0)


@needs_gradio
def test_the_page_answers_over_http(url, wav):
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False, analytics_enabled=False)
    labels, spectrogram = client.predict(handle_file(wav), api_name="/listen")
    assert {item["label"] for item in labels["confidences"]} == {"drum", "voice", "$5 & up"}
    assert sum(item["confidence"] for item in labels["confidences"]) == pytest.approx(1, abs=1e-4)
    picture, note = client.predict(handle_file(wav), 0.5, 2, 12, 1, api_name="/reconstruct")
    assert note.startswith("12 of 32 patches masked")
    for path in (spectrogram, picture):
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
        long = first.submit(handle_file(tmp_path / "long.flac"), api_name="/listen")
        time.sleep(1)
        labels, _ = second.predict(handle_file(wav), api_name="/listen")
        assert len(labels["confidences"]) == 3 and not long.done()
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
    page = load_page(str(checkpoints / "patch"), None, max_seconds=3.0)
    address = serve(page, max_megabytes=1.0)
    client = Client(address, verbose=False, analytics_enabled=False)
    try:
        assert client.predict(handle_file(tmp_path / "2.wav"), api_name="/listen")
        with pytest.raises(AppError, match=r"^4\.wav has more than 3 s of sound"):
            client.predict(handle_file(tmp_path / "4.wav"), api_name="/listen")
        upload = f"{address.rstrip('/')}/gradio_api/upload"
        for seconds, status in ((2, 200), (40, 413)):
            files = {"files": (tmp_path / f"{seconds}.wav").read_bytes()}
            assert httpx.post(upload, files=files).status_code == status
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
    said = exposure(host, 200.0, 3600.0)
    assert f"--host {host}: whoever can reach this machine" in said and "200 MB and 3600 s" in said


@needs_gradio
def test_what_is_wrong_with_a_sound_is_said_in_a_sentence(url, wav, tmp_path, capfd):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(url, verbose=False, analytics_enabled=False)
    soundfile.write(tmp_path / "short.wav", np.full(100, 0.1), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nonsense")
    for name, said in (("short", "has 100 samples"), ("silent", "is silent"), ("broken", "cannot be decoded")):
        with pytest.raises(AppError, match=rf"^{name}\.wav {said}"):
            client.predict(handle_file(tmp_path / f"{name}.wav"), api_name="/listen")
    soundfile.write(tmp_path / "brief.wav", load_audio(wav)[:2000], 16000)
    with pytest.raises(AppError, match=r"^9 patches are to be masked, expected 1 to 8"):
        client.predict(handle_file(tmp_path / "brief.wav"), 0, 2, 9, 0, api_name="/reconstruct")
    with pytest.raises(AppError, match=r"samples"):
        client.predict(handle_file(tmp_path / "short.wav"), 0, 2, 4, 0, api_name="/reconstruct")
    with pytest.raises(AppError, match=r"^offset is 60 s; expected less than 4.532 s, the length of guitar.wav"):
        client.predict(handle_file(wav), 60, 2, 4, 0, api_name="/reconstruct")
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


@needs_gradio
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
def test_a_browser_shows_the_answer_without_errors(url, wav, tmp_path):
    """Drops a sound, reads labels and reconstruction, moves a slider, replaces the sound by one that is broken."""
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    errors, elsewhere = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: elsewhere.append(request.url) if request.url.startswith("http") else None)
        page.goto(url)
        upload = page.locator("input[type=file]")
        upload.wait_for(state="attached")
        upload.set_input_files(wav)
        page.get_by_text("25 of 32 patches masked").wait_for()  # 400 of 512, as in the paper
        page.get_by_text("voice").first.wait_for()
        pictures = page.locator("img[src*='/file=']")
        assert pictures.count() == 2
        for picture in pictures.all():
            assert picture.evaluate("image => image.complete && image.naturalWidth") > 600
        page.locator("input[type=range]").nth(1).fill("7")
        page.get_by_text("7 of 32 patches masked").wait_for()
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        assert errors == []
        assert {f"{address.split('/')[2]}" for address in elsewhere} == {url.split("/")[2]}  # no other site is asked

        page.get_by_label("Clear").first.click()
        page.get_by_text("patches masked").wait_for(state="hidden")
        (tmp_path / "broken.wav").write_bytes(b"RIFF nonsense")
        page.locator("input[type=file]").set_input_files(tmp_path / "broken.wav")
        page.get_by_text("broken.wav cannot be decoded").first.wait_for()
        page.wait_for_timeout(1500)
        assert page.get_by_text("cannot be decoded").count() == 1  # said once
        assert pictures.count() == 0
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
