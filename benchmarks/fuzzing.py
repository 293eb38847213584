# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Damages sounds, manifests, configurations and checkpoints at random, gives them to the package, and counts what
happens. A fault is an exception that no user should see, a crash, no end within `LONGEST` seconds, or code of a pickle
that was executed.
"""

import collections
import contextlib
import io
import json
import os
import pickle
import shutil
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from . import forked
from .kills import in_fork
from .scenarios import TRAINING, prepare

SOUNDS = Path(__file__).parent.parent / "tests/data/sounds"
LONGEST = 10.0  # seconds for an input
MEMORY = 16 * 2**30  # bytes of address space, most of which torch maps and never touches
KINDS = {"wav": ("WAV", "PCM_16"), "wav float": ("WAV", "FLOAT"), "wav adpcm": ("WAV", "IMA_ADPCM"),
         "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"), "mp3": ("MP3", "MPEG_LAYER_III"),
         "aiff": ("AIFF", "PCM_24")}  # fmt: skip
NONSENSE = [None, -1, 0, 1.5, 10**9, 2**70, "x", "", [], {}, True, float("nan"), float("inf"), [1, 2], "1", {"a": 1}]
BATCH = 100  # sounds that a fork reads one after another
Counts = dict[str, collections.Counter]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, most often in the header; or a part cut out, repeated or cut off."""
    found = bytearray(data)
    kind = rng.integers(5)
    if kind < 2:
        reach = len(found) if kind else min(len(found), 200)
        for place in rng.integers(reach, size=rng.integers(1, 20)):
            found[place] = rng.integers(256)
        return bytes(found)
    start, stop = sorted(rng.integers(len(found), size=2))
    if kind == 2:
        return bytes(found[:stop])
    if kind == 3:
        return bytes(found[:start] + found[stop:])
    return bytes(found[:stop] + found[start:])


def changed(value: dict, rng: np.random.Generator) -> dict:
    """A JSON object with a few values replaced by nonsense, or missing, or new."""
    result = dict(value)
    for _ in range(rng.integers(1, 4)):
        name = rng.choice(sorted(result)) if rng.random() < 0.9 else "new"
        if rng.random() < 0.1:
            result.pop(name, None)
        else:
            result[name] = NONSENSE[rng.integers(len(NONSENSE))]
    return result


def fuzz_sounds(runs: int, seed: int, folder: Path) -> Counts:
    """Sounds by path and by pipe, which a small classifier labels."""
    originals = []
    for path in sorted(SOUNDS.glob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32", frames=16000)
        for name, (container, subtype) in KINDS.items():
            file = io.BytesIO()
            soundfile.write(file, samples, rate, format=container, subtype=subtype)
            originals.append((name, file.getvalue()))
    counts: Counts = {}
    for first in range(0, runs, BATCH):
        last, number = min(runs, first + BATCH), first
        while number < last:  # a fork that crashes or hangs is replaced after the sound at fault
            number = _sounds_in_fork(originals, number, last, seed, folder, counts)
    return counts


def _sounds_in_fork(originals: list, first: int, last: int, seed: int, folder: Path, counts: Counts) -> int:
    read, write = os.pipe()
    running = forked.start(lambda: _label_sounds(originals, first, last, seed, folder, write), folder)
    os.close(write)
    number, begun = first, time.monotonic()
    with os.fdopen(read, "rb") as pipe:
        os.set_blocking(pipe.fileno(), False)
        while True:
            data = pipe.read()
            if data:
                for line in data.decode().splitlines():
                    place, _, outcome = line.partition("\t")
                    counts.setdefault(place, collections.Counter())[outcome] += 1
                    number += place.endswith("by pipe")
                begun = time.monotonic()
            elif data == b"":
                break
            elif time.monotonic() - begun > 3 * LONGEST:  # the first one loads the model
                os.killpg(running.group, signal.SIGKILL)
                break
            else:
                time.sleep(0.01)
    done = running.wait(LONGEST)
    if number < last:
        fault = f"FAULT: status {done.status}"
        print(f"sound {number}: {fault} {done.err[-2000:]}", flush=True)
        counts.setdefault("sounds", collections.Counter())[fault] += 1
        number += 1
    return number


def _label_sounds(originals: list, first: int, last: int, seed: int, folder: Path, write: int) -> int:
    from ssast_hf import SSASTFeatureExtractor, classify
    from ssast_hf.inference import classify_windows, load_classifier

    model = load_classifier(folder / "classifier")
    extractor = SSASTFeatureExtractor.from_pretrained(folder / "classifier")
    for number in range(first, last):
        rng = np.random.default_rng([seed, number])
        name, data = originals[rng.integers(len(originals))]
        data = damaged(data, rng)
        path = folder / "sound.wav"
        path.write_bytes(data)
        for how, label in (
            ("by path", lambda path=path: next(iter(classify(model, extractor, [path])))[1]),
            (
                "by pipe",
                lambda data=data: _through_pipe(data, lambda pipe: list(classify_windows(model, extractor, pipe))),
            ),
        ):
            begun = time.monotonic()
            outcome = _outcome(label)
            if time.monotonic() - begun > LONGEST:
                outcome = "FAULT: slow"
            os.write(write, f"{name}, {how}\t{outcome}\n".encode())
    return 0


def _outcome(call: Callable) -> str:
    try:
        result = call()
    except (ValueError, OSError) as error:
        result = error
    except Exception as error:
        return f"FAULT: {type(error).__name__}"
    if isinstance(result, Exception):
        return "refused" if isinstance(result, (ValueError, OSError)) else f"FAULT: {type(result).__name__}"
    return "read"


def _through_pipe(data: bytes, call: Callable):
    read, write = os.pipe()

    def fill() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(write, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=fill)
    writer.start()
    with os.fdopen(read, "rb") as pipe:
        try:
            return call(pipe)
        finally:
            pipe.close()
            writer.join()


def manifests(folder: Path, rng: np.random.Generator) -> Iterator[list]:
    """`ssast classify` of damaged manifests."""
    names = [str(path) for path in sorted(SOUNDS.glob("*.flac"))[:3]]
    rows = [{"file": name, "label": "a;b", "offset": 0.1 * index, "duration": 0.2} for index, name in enumerate(names)]
    lines = [",".join(rows[0])] + [",".join(map(str, row.values())) for row in rows]
    texts = {
        "csv": "\n".join(lines),
        "tsv": "\n".join(lines).replace(",", "\t"),
        "jsonl": "\n".join(map(json.dumps, rows)),
        "json": json.dumps({"data": [{"wav": row["file"], "labels": "a"} for row in rows]}),
    }
    while True:
        kind = sorted(texts)[rng.integers(len(texts))]
        if kind == "jsonl" and rng.random() < 0.5:
            data = "\n".join(json.dumps(changed(row, rng)) for row in rows).encode()
        else:
            data = damaged(texts[kind].encode(), rng)
            if rng.random() < 0.1:
                data = data.replace(b"\n", b"\n" + b'"[{\x00\xff,'[: rng.integers(8)] * int(rng.integers(1, 40000)), 1)
        path = folder / f"manifest.{kind}"
        path.write_bytes(data)
        yield ["classify", path, "--model", folder / "classifier", "--format", "json"]


def configs(folder: Path, rng: np.random.Generator) -> Iterator[list]:
    """`ssast classify` and `ssast embed` with changed configurations."""
    sound = SOUNDS / "misc_crow.flac"
    while True:
        place = _copy(folder / "classifier", folder / "changed")
        name = ("config.json", "preprocessor_config.json")[int(rng.random() < 0.3)]
        content = json.loads((place / name).read_text())
        text = json.dumps(changed(content, rng)).encode()
        (place / name).write_bytes(damaged(text, rng) if rng.random() < 0.2 else text)
        if rng.random() < 0.5:
            yield ["classify", sound, "--model", place]
        else:
            yield ["embed", sound, "--model", place, "--output", folder / "e.npz", "--overwrite"]


def checkpoints(folder: Path, rng: np.random.Generator) -> Iterator[list]:
    """`ssast classify` with damaged weights, and `ssast finetune` that finds damaged or hostile checkpoints."""
    sound = SOUNDS / "misc_crow.flac"
    while True:
        if rng.random() < 0.75:
            place = _copy(folder / "classifier", folder / "changed")
            path = place / "model.safetensors"
            path.write_bytes(_damaged_weights(path.read_bytes(), rng))
            if rng.random() < 0.2:
                path.rename(place / "model-00001-of-00001.safetensors")
                names = [
                    "model-00001-of-00001.safetensors",
                    "model.bin",
                    "../classifier/model.safetensors",
                    "/dev/zero",
                ]
                index = {"metadata": {}, "weight_map": {"x": names[rng.integers(len(names))]}}
                (place / "model.safetensors.index.json").write_text(json.dumps(index))
                (place / "model.bin").write_bytes(pickle.dumps(Hostile(folder / "executed")))
            yield ["classify", sound, "--model", place]
        else:
            place = _copy(folder / "trained", folder / "run")
            _damage_training(place, rng, folder / "executed")
            yield training(folder, place)


def training(folder: Path, output: Path) -> list:
    """A short fine-tuning; [`prepare`] wrote what it reads."""
    command = ["finetune", "--data", folder / "clips.csv", "--model", folder / "pretrained", "--max_steps", "9"]
    return [*command, *TRAINING, "--output_dir", output]


class Hostile:
    """Its pickle makes a directory when it is opened."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def _damaged_weights(data: bytes, rng: np.random.Generator) -> bytes:
    """Damaged bytes, or a header of nonsense before the weights."""
    if rng.random() < 0.5:
        return damaged(data, rng)
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    name = rng.choice([name for name in header if name != "__metadata__"])
    header[name] = changed(header[name], rng)
    if rng.random() < 0.5:
        header[name] = {**header[name], "shape": rng.integers(0, 2**31, size=rng.integers(0, 4)).tolist()}
    if rng.random() < 0.3:
        del header[name]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _damage_training(run: Path, rng: np.random.Generator, executed: Path) -> None:
    """Damages a file of a checkpoint; half the time its checksums are right all the same."""
    from ssast_hf.training.checkpoint_files import write_checksums

    record = run / "_run.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    (run / "model.safetensors").unlink()
    newest = sorted(run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))[-1]
    files = sorted(path for path in newest.iterdir() if path.is_file() and path.suffix != ".py")
    path = files[rng.integers(len(files))]
    if path.suffix in (".pt", ".pth", ".bin") and rng.random() < 0.7:
        path.write_bytes(pickle.dumps(Hostile(executed)))
    elif path.suffix == ".json" and rng.random() < 0.5:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), rng)))
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))
    if rng.random() < 0.5 and path.name != "contents.json":
        write_checksums(newest)
    if rng.random() < 0.1:
        record.write_bytes(damaged(record.read_bytes(), rng))


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def fuzz_commands(name: str, commands: Iterator[list], runs: int, folder: Path, longest: float = LONGEST) -> Counts:
    """Runs commands in forks; counts exit statuses and faults."""
    count: collections.Counter = collections.Counter()
    for number in range(runs):
        arguments = next(commands)
        done = forked.start(forked.ssast(*arguments), folder, memory_bytes=MEMORY).wait(longest)
        fault = done.fault()
        if (folder / "executed").exists():
            fault = "executed"
            shutil.rmtree(folder / "executed")
        if fault:
            kept = folder / f"fault-{name}-{number}"
            print(f"{name} {number}: {fault}: {' '.join(map(str, arguments))}: {done.err[-1500:]}", flush=True)
            if Path(arguments[1]).is_file():
                shutil.copy(arguments[1], kept)
            elif (folder / "changed").exists():
                _copy(folder / "changed", kept)
        count[f"FAULT: {fault}" if fault else f"status {done.status}"] += 1
    return {name: count}


def campaign(what: str, runs: int, seed: int, folder: Path) -> Counts:
    """`what` is `"sounds"`, `"manifests"`, `"configs"` or `"checkpoints"`."""
    forked.import_all()
    if folder.exists():
        shutil.rmtree(folder)
    in_fork(prepare, folder)
    rng = np.random.default_rng(seed)
    if what == "sounds":
        return fuzz_sounds(runs, seed, folder)
    if what == "checkpoints":
        done = forked.start(forked.ssast(*training(folder, folder / "trained")), folder).wait(600)
        if done.status:
            raise RuntimeError(done.err)
        # Two seconds are usual for a run that trains; other processes on the machine may slow it.
        return fuzz_commands(what, checkpoints(folder, rng), runs, folder, 6 * LONGEST)
    return fuzz_commands(what, {"manifests": manifests, "configs": configs}[what](folder, rng), runs, folder)


def table(counts: Counts) -> str:
    """In Markdown."""
    rows = ["| input | runs | outcomes | faults |", "|---|--:|---|--:|"]
    for name, count in sorted(counts.items()):
        faults = sum(number for outcome, number in count.items() if outcome.startswith("FAULT"))
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(count.items()))
        rows.append(f"| {name} | {sum(count.values())} | {outcomes} | {faults} |")
    return "\n".join(rows)
