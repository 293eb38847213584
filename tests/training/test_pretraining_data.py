# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What pretraining reads: every kind of source, mixtures, crops, packing, masks, and what it does with bad files."""

import csv
import json
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from torch.utils.data import DataLoader

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, load_audio
from ssast_hf.cli import main
from ssast_hf.data import clips as clips_module
from ssast_hf.data.decoded import decode
from ssast_hf.data.reader import Reader
from ssast_hf.data.skipped import Skipped
from ssast_hf.data.sources import Clip, Source, parse_source, read_clips, read_sources
from ssast_hf.training import arguments
from ssast_hf.training.arguments import parse
from ssast_hf.training.crops import Clips, Crops, EpochSampler, Packed, Padded, rng
from ssast_hf.training.masked_batches import MaskingCollator
from ssast_hf.training.pretrain import PreTrainingArguments, PreTrainingDataArguments
from ssast_hf.training.stats import statistics
from ssast_hf.training.streams import Stream

RATE = 16000
SOUNDS = Path(__file__).parents[1] / "data" / "sounds"
NAMES = ["drum_cowbell.flac", "misc_crow.flac", "tabla_tas1.flac"]
FILES = [str(SOUNDS / name) for name in NAMES]


def table():
    datasets = pytest.importorskip("datasets")
    audio = [{"bytes": Path(file).read_bytes(), "path": Path(file).name} for file in FILES]
    sound = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"n": datasets.Value("int64"), "sound": sound})
    return datasets.Dataset.from_dict({"n": [0, 1, 2], "sound": audio}, features=features)


def make(kind: str, folder: Path) -> str:
    """Writes a source with the sounds of FILES, in their order; returns how to name it."""
    if kind == "folder":
        for file in FILES:
            (folder / Path(file).name).write_bytes(Path(file).read_bytes())
        return str(folder)
    if kind in ("csv", "tsv"):
        with open(folder / f"m.{kind}", "w", newline="") as file:
            csv.writer(file, delimiter="," if kind == "csv" else "\t").writerows([["path"], *([f] for f in FILES)])
    elif kind == "jsonl":
        (folder / "m.jsonl").write_text("\n".join(json.dumps({"audio": file}) for file in FILES))
    elif kind == "json":
        entries = [{"wav": file, "labels": "/m/09x0r,/m/05zppz"} for file in FILES]
        (folder / "m.json").write_text(json.dumps({"data": entries}))
    elif kind == "tar":
        with tarfile.open(folder / "m.tar", "w") as archive:
            for file in FILES:
                archive.add(file, Path(file).name)
                archive.add(__file__, Path(file).stem + ".txt")
    elif kind == "parquet":
        table().to_parquet(folder / "m.parquet")
    elif kind in ("hub", "hub folder"):
        (folder / "set").mkdir()
        table().to_parquet(folder / "set" / "train-00000-of-00001.parquet")
        return f"hf:{folder}/set,column=sound" if kind == "hub" else str(folder / "set")
    elif kind == "saved":
        table().save_to_disk(folder / "saved")
        return f"hf:{folder}/saved"
    return str(folder / f"m.{kind}")


@pytest.mark.parametrize(
    "kind", ["folder", "csv", "tsv", "jsonl", "json", "tar", "parquet", "hub", "hub folder", "saved"]
)
def test_every_kind_of_source_gives_the_same_sound(kind, tmp_path):
    (source,) = read_sources(make(kind, tmp_path))
    assert len(source.clips) == 3
    for clip, file in zip(source.clips, FILES):
        np.testing.assert_array_equal(clip.load(RATE), load_audio(file, RATE))
        assert clip.seconds() == pytest.approx(soundfile.info(file).duration)


def test_a_clip_can_be_a_part_of_a_file(tmp_path):
    (tmp_path / "m.csv").write_text(f"file,offset,duration\n{FILES[2]},0.25,0.5\n{FILES[2]},0.6,\n")
    part, rest = read_clips(tmp_path / "m.csv", labelled=False)
    np.testing.assert_array_equal(part.load(RATE), load_audio(FILES[2], RATE, 0.25, 0.5))
    np.testing.assert_array_equal(part.load(RATE, 0.1, 9), load_audio(FILES[2], RATE, 0.35, 0.4))
    np.testing.assert_array_equal(rest.load(RATE), load_audio(FILES[2], RATE, 0.6))
    assert part.seconds() == 0.5
    for cell in ("-1", "x", "nan"):
        (tmp_path / "m.csv").write_text(f"file,offset\n{FILES[2]},{cell}\n")
        with pytest.raises(ValueError, match="line 2: offset is"):
            read_clips(tmp_path / "m.csv", labelled=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "No such folder or manifest: nowhere"),
        ("lab/corpus", "written hf:lab/corpus"),
        ("nowhere,wieght=2", "'wieght=2' is no option"),
        (f"{SOUNDS},weight=0", "not a number above 0"),
        (f"{SOUNDS},split=train", "split is for datasets"),
        (f"{SOUNDS}/README.md", "neither a folder nor a manifest"),
        ("hf:./nowhere", "cannot be loaded"),
    ],
)
def test_bad_sources_are_named(text, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_sources(text)


def test_a_list_given_twice_is_an_error_rather_than_its_last_value(tmp_path, capsys):
    sounds, recipe = str(SOUNDS), tmp_path / "recipe.yaml"
    recipe.write_text(f"data: [{sounds}, {sounds}]\n")
    assert main(["pretrain", "--data", sounds, f"--data={sounds}", "--output_dir", str(tmp_path / "o")]) == 2
    assert "--data is given 2 times, expected once with all its values" in capsys.readouterr().err
    command = [str(recipe), "--data", sounds, "--output_dir", "o"]
    data, _, _ = parse((PreTrainingDataArguments, PreTrainingArguments), command, "", "")
    assert data.data == [sounds]  # a flag still overrides a recipe


def test_recipes_may_say_no_and_nothing(tmp_path):
    """YAML's `no` is a strategy where one is due, and a flag without a value is not given."""
    (tmp_path / "r.yaml").write_text(f"data: [{SOUNDS}]\neval_strategy: no\nsave_strategy: no\nmodel:\nbf16: no\n")
    command = [str(tmp_path / "r.yaml"), "--output_dir", "o"]
    data, training, _ = parse((PreTrainingDataArguments, PreTrainingArguments), command, "", "")
    assert data.model is None and not training.bf16
    assert training.eval_strategy == training.save_strategy == "no"


def test_options_and_patterns(tmp_path):
    assert parse_source("a/*.tar,weight=0.5") == ("a/*.tar", {"weight": "0.5"})
    (tmp_path / "b,weight=3").mkdir()
    assert parse_source(str(tmp_path / "b,weight=3")) == (str(tmp_path / "b,weight=3"), {})
    make("tar", tmp_path)
    (tmp_path / "m.tar").rename(tmp_path / "n-0.tar")
    make("tar", tmp_path)
    (tmp_path / "m.tar").rename(tmp_path / "n-1.tar")
    assert len(read_sources(f"{tmp_path}/n-*.tar")[0].clips) == 6
    with pytest.raises(ValueError, match="give all of them one, or none"):
        read_sources([f"{SOUNDS},weight=1", str(tmp_path)])
    (tmp_path / "n-0.tar").write_bytes((tmp_path / "n-0.tar").read_bytes()[:30000])
    with pytest.raises(ValueError, match="tar archive, or is truncated"):
        read_clips(tmp_path / "n-0.tar", labelled=False)


def crops_of(*groups, samples=1600, seed=0, pack=False, weights=None, report=None, **kwargs) -> Crops:
    sources = [
        Source(f"s{i}", [Clip(str(path)) for path in paths], weights[i] if weights else None)
        for i, paths in enumerate(groups)
    ]
    return Crops(sources, samples, Reader(RATE, Skipped(report), **kwargs), seed, 400, pack)


def write(path: Path, waveform, rate: int = RATE) -> Path:
    soundfile.write(path, waveform, rate, subtype="FLOAT")
    return path


@pytest.fixture
def ramp(tmp_path) -> Path:
    """A minute in which every sample tells its place."""
    return write(tmp_path / "ramp.wav", np.linspace(-0.5, 0.5, 60 * RATE))


def places(waveform: np.ndarray, total: int = 60 * RATE) -> np.ndarray:
    return np.rint((waveform + 0.5) * (total - 1)).astype(int)


def test_an_epoch_has_each_clip_once_in_an_order_of_its_own(tmp_path):
    crops = crops_of(FILES * 5, FILES * 3)
    sampler = EpochSampler(crops, 1, seed=0)
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert sorted(number for _, number in keys) == list(range(24))
        assert {e for e, _ in keys} == {epoch}
        orders.append(keys)
    assert [n for _, n in orders[0]] != [n for _, n in orders[1]]
    assert len(EpochSampler(crops, 7, seed=0)) == 21
    assert len(EpochSampler(crops, 100, seed=0)) == 24


def test_sources_are_mixed_by_weight_and_used_evenly():
    """Weights 3 to 1 over 20 and 60 clips: 60 and 20 of an epoch; over three epochs every clip 9 times, or once."""
    crops = crops_of(["a"] * 20, ["b"] * 60, weights=[3.0, 1.0])
    sampler = EpochSampler(crops, 1, seed=0)
    counts = Counter()
    for epoch in range(3):
        sampler.set_epoch(epoch)
        numbers = [number for _, number in sampler]
        assert sum(number < 20 for number in numbers) == 60
        assert len(numbers) == 80
        counts.update(numbers)
    assert {counts[number] for number in range(20)} == {9}
    assert {counts[number] for number in range(20, 80)} == {1}


def test_long_files_are_cropped_by_seeking(ramp, monkeypatch):
    """A crop is a contiguous piece, at a place drawn per epoch, and nothing else of the file is decoded."""
    asked = []

    def spy(source, rate, offset, duration, *how):
        asked.append(duration)
        return load_audio(source, rate, offset, duration, *how)

    monkeypatch.setattr(clips_module, "load_audio", spy)
    crops = crops_of([ramp])
    starts = set()
    for epoch in range(20):
        place = places(crops[epoch, 0]["waveform"])
        assert len(place) == 1600
        assert (np.abs(np.diff(place) - 1) <= 1).all()
        starts.add(int(place[0]))
    assert len(starts) == 20
    assert max(starts) > 40 * RATE > 20 * RATE > min(starts)
    assert max(asked) < 0.102
    np.testing.assert_array_equal(crops[3, 0]["waveform"], crops_of([ramp])[3, 0]["waveform"])
    assert not np.array_equal(crops[3, 0]["waveform"], crops_of([ramp], seed=1)[3, 0]["waveform"])


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_crops_are_full_whatever_the_rate_of_the_file(rate, tmp_path):
    path = write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 2 * rate), rate)
    crops = crops_of([path], samples=15920)
    assert {len(crops[epoch, 0]["waveform"]) for epoch in range(10)} == {15920}


def test_packing_uses_every_second_once_and_pads_nothing(tmp_path):
    """Clips that each hold one value: what a crop is made of can be read off it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lengths = [700, 900, 5000, 300, 2000, 650]
    noise = np.random.default_rng(0).uniform(-1, 1, sum(lengths)).astype(np.float32)
    paths, begin = [], 0
    for number, length in enumerate(lengths):
        folder = "a" if number < 3 else "b"
        paths.append(write(tmp_path / folder / f"{number}.wav", noise[begin : begin + length]))
        begin += length
    crops = crops_of(paths, samples=1000, pack=True)
    assert len(crops) == 6600 // 1000 + 2950 // 1000  # folders are not joined
    place = {value: index for index, value in enumerate(noise.tolist())}
    phases = set()
    for epoch in range(3):
        used = [place[value] for index in range(len(crops)) for value in crops[epoch, index]["waveform"].tolist()]
        assert len(used) == len(set(used)) == 8000
        for index in range(len(crops)):
            piece = [place[value] for value in crops[epoch, index]["waveform"].tolist()]
            assert all(b == a + 1 for a, b in pairwise(piece))
            assert len(piece) == 1000
        phases.add(used[0])
    assert len(phases) == 3
    short = crops_of(paths[:1], samples=1000, pack=True)
    assert len(short) == 1
    assert len(short[0, 0]["waveform"]) == 700


def test_decoded_sound_is_kept_and_read_alike(tmp_path, ramp):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    clips = [Clip(str(path)) for path in (*FILES, broken, ramp)]
    skipped = Skipped(tmp_path / "skipped.jsonl")
    decoded = decode(clips, RATE, tmp_path / "cache", skipped)
    assert skipped.seen == {str(broken)}
    for clip in (*clips[:3], clips[4]):
        expected = load_audio(clip.path, RATE)
        assert decoded.length(clip) == len(expected)
        np.testing.assert_allclose(decoded.read(clip, 100, 500), expected[100:600], atol=1 / 32767)
    assert decoded.read(clips[3], 0, 10) is None
    stamp = (decoded.path.stat().st_mtime_ns, decoded.path)
    again = decode(clips, RATE, tmp_path / "cache", Skipped())
    assert (again.path.stat().st_mtime_ns, again.path) == stamp
    ramp.write_bytes(ramp.read_bytes()[:-4000])  # a changed file is another corpus
    assert decode(clips, RATE, tmp_path / "cache", Skipped()).path != again.path
    assert not list((tmp_path / "cache").glob("_*"))


def test_unusable_clips_are_replaced_counted_and_listed(tmp_path):
    good = [write(tmp_path / f"{i}.wav", np.random.default_rng(i).uniform(-0.1, 0.1, 3200)) for i in range(3)]
    (tmp_path / "text.wav").write_bytes(b"no sound")
    write(tmp_path / "silent.wav", np.full(1500, 0.2))
    write(tmp_path / "short.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 300))
    bad = {str(tmp_path / name) for name in ("text.wav", "silent.wav", "short.wav", "missing.wav")}
    crops = crops_of([*sorted(bad), *good], report=tmp_path / "skipped.jsonl")
    crops.check()
    sampler = EpochSampler(crops, 1, seed=0)
    loader = DataLoader(crops, batch_size=None, sampler=sampler, num_workers=2, collate_fn=lambda item: item)
    assert [len(item["waveform"]) for item in loader] == [1600] * 7
    reasons = crops.reader.skipped.finish()
    assert reasons.keys() == bad
    assert reasons[str(tmp_path / "silent.wav")] == "silent"
    assert "too short: 0.019 s" in reasons[str(tmp_path / "short.wav")]
    assert len((tmp_path / "skipped.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("pack", [False, True])
def test_nothing_to_train_on_is_an_error(tmp_path, pack):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    write(tmp_path / "b.wav", np.zeros(32000))
    with pytest.raises(ValueError, match="s0 holds no sound to train on"):
        crops_of([tmp_path / "a.wav", tmp_path / "b.wav"], pack=pack).check()


def test_a_silent_stretch_of_a_long_file_is_passed_over(tmp_path):
    waveform = np.zeros(60 * RATE)
    waveform[: 30 * RATE] = np.random.default_rng(0).uniform(-0.1, 0.1, 30 * RATE)
    crops = crops_of([write(tmp_path / "half.wav", waveform)])
    for epoch in range(30):
        assert np.abs(crops[epoch, 0]["waveform"]).max() > 0.05
    assert not crops.reader.skipped.seen


@pytest.mark.parametrize("pack", [False, True])
def test_a_long_file_that_is_silent_throughout_is_listed(tmp_path, pack):
    paths = [write(tmp_path / "silent.wav", np.zeros(2 * RATE)), *FILES]
    crops = crops_of(paths, pack=pack, report=tmp_path / "skipped.jsonl")
    for index in range(len(crops)):
        assert np.abs(crops[0, index]["waveform"]).max() > 1e-3
    reasons = crops.reader.skipped.finish()
    assert reasons.keys() == {str(paths[0])}
    assert "silent" in reasons[str(paths[0])]


def test_each_bad_part_of_a_file_is_listed_by_itself(tmp_path):
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, 4 * RATE)
    waveform[RATE : 3 * RATE] = 0
    path = str(write(tmp_path / "a.wav", waveform))
    clips = [Clip(path, offset=offset, duration=1.0) for offset in (0.0, 1.0, 2.0, 3.0, 9.0)]
    bad = {f"{path}#t=1,2", f"{path}#t=2,3", f"{path}#t=9,10"}
    crops = Crops([Source("s", clips)], 2 * RATE, Reader(RATE, Skipped()), 0, 400)
    for index in range(len(clips)):
        assert len(crops[0, index]["waveform"]) == RATE
    assert crops.reader.skipped.seen == bad
    skipped = Skipped()
    decode(clips, RATE, tmp_path / "cache", skipped)
    assert skipped.seen == bad
    assert statistics([Source("s", clips)]).skipped.keys() == bad


def test_a_cut_off_recording_is_decoded_whole_only_once(tmp_path, monkeypatch):
    """It is decoded to the end because a header may promise more than there is; here there is nothing to gain."""
    whole = write(tmp_path / "whole.flac.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 60 * RATE))
    cut = tmp_path / "cut.flac"
    soundfile.write(cut, soundfile.read(whole)[0], RATE)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    asked = []
    load = Clip.load
    monkeypatch.setattr(Clip, "load", lambda *args: asked.append(args[2:]) or load(*args))
    crops = crops_of([cut, FILES[0]], report=tmp_path / "skipped.jsonl")
    for epoch in range(20):
        assert len(crops[epoch, 0]["waveform"]) == 1600
    assert len(asked) > 20
    assert asked.count(()) == 1
    assert crops.reader.skipped.finish().keys() == {str(cut)}


def test_a_report_that_cannot_be_written_ends_no_run(tmp_path, caplog):
    skipped = Skipped(tmp_path / "no folder" / "skipped.jsonl")
    skipped.add("a.wav", "silent")
    assert skipped.seen == {"a.wav"}
    assert "will lack a.wav" in caplog.text


def collator(**fields) -> MaskingCollator:
    config = SSASTConfig.tiny(max_length=96, **fields)
    return MaskingCollator(SSASTFeatureExtractor(max_length=96), config, seed=3)


def test_a_crop_and_its_mask_are_the_same_in_any_batch(ramp):
    crops = crops_of([*FILES, ramp], samples=15600)
    collate = collator()
    items = [crops[2, index] for index in range(4)]
    whole = collate(items)
    rows, columns = 8, whole["input_values"].shape[1] // 16
    for index, item in enumerate(items):
        alone = collate([item])
        width = alone["input_values"].shape[1] // 16
        mask = whole["bool_masked_pos"][index].view(rows, columns)
        torch.testing.assert_close(mask[:, :width].flatten(), alone["bool_masked_pos"][0])
        assert not mask[:, width:].any()
        real = max(1, int(whole["attention_mask"][index].sum()) // 16)
        assert mask.sum() == collate.config.num_masked(rows * real)
        assert not mask[:, real:].any()
    assert not torch.equal(collate([crops[3, 3]])["bool_masked_pos"], whole["bool_masked_pos"][3:])


def test_workers_change_nothing(ramp):
    crops = crops_of([*FILES, ramp] * 3, samples=15600)
    batches = [
        list(DataLoader(crops, 4, sampler=EpochSampler(crops, 4, 0), num_workers=n, collate_fn=collator()))
        for n in (0, 2)
    ]
    for one, two in zip(*batches):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_features_on_the_device_are_those_of_the_workers(ramp):
    crops = crops_of([*FILES, ramp], samples=15600)
    items = [crops[0, index] for index in range(4)]
    here, there = collator(), collator()
    there.on_device = True
    batch = there(items)
    waveforms = [w[:n] for w, n in zip(batch["waveforms"], batch["samples"].tolist())]
    expected = here(items)
    torch.testing.assert_close(there.features(waveforms)["input_values"], expected["input_values"])
    torch.testing.assert_close(batch["bool_masked_pos"], expected["bool_masked_pos"])
    full = MaskingCollator(here.extractor, here.config, 3, full=True)(items[:3])
    assert full["input_values"].shape[1] == 96
    assert full["bool_masked_pos"].shape == (3, 48)


def test_blank_validation_crops_count_for_nothing():
    crops = crops_of(FILES)
    padded = Padded(crops, 4)
    assert len(padded) == 4
    batch = collator()([padded[index] for index in range(4)])
    assert batch["frames"].tolist()[3] == 0
    assert not batch["bool_masked_pos"][3].any()
    assert batch["bool_masked_pos"][:3].any(dim=1).all()


def test_a_stream_goes_on_where_it_was_and_is_split_among_processes(tmp_path, monkeypatch):
    """Two processes get disjoint halves of a pass; passing over the first examples changes nothing after them."""
    monkeypatch.setattr("datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # 5 s at the end of each pass
    (source,) = read_sources(make("hub", tmp_path) + ",streaming=true")

    def stream(rank=0, world_size=1):
        return Stream([source], None, 1600, Reader(RATE, Skipped()), 0, 400, rank, world_size, buffer=2)

    def take(found, count):
        return [item["waveform"] for _, item in zip(range(count), found)]

    whole = take(stream(), 9)
    resumed = stream()
    resumed.start = resumed.blanks = 4
    for one, two in zip(whole[4:], take(resumed, 9)[4:], strict=True):
        np.testing.assert_array_equal(one, two)
    read = stream()
    names = []
    read._read = lambda name, value, number: names.append(value["path"]) or np.ones(1)
    take(read, 6)
    assert sorted(names[:3]) == sorted(names[3:]) == NAMES
    halves = []
    for rank in range(2):
        part = stream(rank, 2)
        seen = []
        part._read = lambda name, value, number, seen=seen: seen.append((name, value["path"])) or np.ones(1)
        take(part, 3)
        halves.append([path for name, path in seen if name.endswith("pass 0]")])
    assert sorted(halves[0] + halves[1]) == NAMES
    mixed = Stream([Source("x", [], 1.0, source.stream, source.column)], crops_of(FILES, weights=[3.0]), 1600,
                   Reader(RATE, Skipped()), 0, 400)  # fmt: skip
    mixed._read = lambda name, value, number: np.zeros(7)
    share = sum(len(waveform) == 7 for waveform in take(mixed, 200)) / 200
    assert 0.15 < share < 0.35


def test_statistics_are_those_of_all_frames_and_bins(tmp_path, capsys):
    """Against one mean and standard deviation over everything; a mixture's moments are weighted."""
    from ssast_hf.feature_extraction_ssast import log_mel_filterbank

    features = [log_mel_filterbank(torch.from_numpy(load_audio(file, RATE))[None])[0] for file in FILES]
    every = torch.cat(features).double()
    assert main(["stats", make("folder", tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mean"] == pytest.approx(every.mean().item(), rel=1e-5)
    assert found["std"] == pytest.approx(every.std(correction=0).item(), rel=1e-5)
    assert found["clips"] == 3
    weighted = statistics([Source("a", [Clip(FILES[0])], 3.0), Source("b", [Clip(FILES[1])], 1.0)])
    mean = 0.75 * features[0].mean().item() + 0.25 * features[1].mean().item()
    square = 0.75 * features[0].square().mean().item() + 0.25 * features[1].square().mean().item()
    assert weighted.mean == pytest.approx(mean, rel=1e-4)
    assert weighted.std == pytest.approx((square - mean**2) ** 0.5, rel=1e-4)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    assert main(["stats", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith(f"--mean {found['mean']:.7g} --std {found['std']:.7g}")
    assert "skipped" in captured.err
    assert main(["stats", str(tmp_path / "bad.wav")]) == 2


def test_long_clips_are_measured_in_blocks(tmp_path, monkeypatch):
    path = write(tmp_path / "long.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 5 * RATE))
    whole = statistics([Source("a", [Clip(str(path))])])
    monkeypatch.setattr("ssast_hf.training.stats.BLOCK_SECONDS", 1.0)
    blocks = statistics([Source("a", [Clip(str(path))])])
    assert blocks.mean == pytest.approx(whole.mean, rel=1e-3)
    assert blocks.std == pytest.approx(whole.std, rel=1e-2)


def test_clips_without_a_stated_length_are_read_whole(ramp, monkeypatch):
    monkeypatch.setattr(Clip, "seconds", lambda self: None)
    reader = Reader(RATE, Skipped())
    waveform, _ = Clips([Clip(str(ramp))], 1600, reader).read(0, rng(1, 2), ())
    assert len(waveform) == 1600
    assert len(Packed([Clip(str(ramp))], 1600, reader)) == 60 * RATE // 1600


RECIPES = Path(__file__).parents[2] / "recipes"
PRETRAINING_RECIPES = [*sorted((RECIPES / "pretrain").glob("*.yaml")), *sorted(RECIPES.glob("*/pretrain.yaml"))]


@pytest.mark.parametrize("recipe", PRETRAINING_RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recipes_are_read_as_they_are_meant(recipe):
    """Every entry is a flag whose value arrives, and the names say size and patches."""
    entries = yaml.safe_load(recipe.read_text())
    argv = [str(recipe), "--data", "x", "--output_dir", "/nowhere"]
    data, training, _ = parse((PreTrainingDataArguments, PreTrainingArguments), argv, "pretrain", "")
    for name, value in entries.items():
        found = getattr(training if hasattr(training, name) else data, name)
        found = getattr(found, "value", found)
        assert found == (float(value) if isinstance(found, float) else value), name
    assert recipe.stem in (f"{data.size}_{data.patches}", "pretrain")


def test_logging_needs_its_package_and_runs_are_named(monkeypatch):
    command = ["--data", "x", "--output_dir", "runs/mine", "--report_to"]
    classes = (PreTrainingDataArguments, PreTrainingArguments)
    monkeypatch.setattr(arguments, "get_available_reporting_integrations", lambda: ["tensorboard"])
    with pytest.raises(ValueError, match="--report_to trackio needs a package that is not installed"):
        parse(classes, [*command, "trackio"], "pretrain", "")
    assert parse(classes, [*command, "tensorboard"], "pretrain", "")[1].run_name == "runs/mine"
    assert parse(classes, [*command, "none", "--run_name", "a"], "pretrain", "")[1].run_name == "a"
