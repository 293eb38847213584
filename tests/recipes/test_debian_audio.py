# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""recipes/debian_audio on packages made here: what is kept, what is left out, which side of a split it is on."""

import csv
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipes import debian
from recipes.debian_audio import corpus, packages, sounds, tasks
from recipes.debian_audio.packages import PACKAGES, RESERVED, Package
from ssast_hf.data.sources import read_clips

ROOT = Path(__file__).parents[2]
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")


def noise(seed, seconds=0.5):
    return np.random.default_rng(seed).integers(-9999, 9999, int(16000 * seconds), dtype=np.int16)


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def archive(tmp_path):
    """Builds packages: archive(name, {path: samples}) makes one with a copyright file, and fetches count in a list."""
    folder = tmp_path / "mirror"

    def build(name, files, prepare_tree=lambda tree: None):
        tree = folder / name
        for path, samples in files.items():
            file = tree / "usr/share" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, samples, 16000)
        document = tree / "usr/share/doc" / name / "copyright"
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_text(f"Copyright of {name}\n")
        prepare_tree(tree)
        (tree / "DEBIAN").mkdir()
        control = f"Package: {name}\nVersion: 1.2-3\nArchitecture: all\nMaintainer: x <x@y.z>\nDescription: x\n"
        (tree / "DEBIAN" / "control").write_text(control)
        command = ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(tree), str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    build.fetched = []

    def fetch(name, target):
        build.fetched.append(name)
        return Path(shutil.copy(next(folder.glob(f"{name}_*.deb")), target))

    build.fetch = fetch
    return build


SPEECH = Package("talk", "GPL-2", (("*_desc*", "speech"), ("*", "effect")), group=r"_desc_?(\w*)\.", compact=True)
MUSIC = Package("tunes", "CC0", (("*/music/*", "music"), ("*/extra/*", None), ("*", "effect")), validation=True)


@needs_dpkg
def test_the_corpus_holds_each_recording_once_no_test_clip_and_names_its_sources(
    tmp_path, archive, monkeypatch, capsys
):
    archive(
        "talk",
        {
            "talk/a_desc_fr.wav": noise(1),
            "talk/b_desc_fr.flac": noise(1),  # the same sound in another file
            "talk/c_desc.wav": noise(2),
            "talk/judged.wav": noise(3),  # a clip that a labelled task judges with
            "talk/short.wav": noise(4, 0.05),
            "talk/silent.wav": noise(5) * 0,
        },
        lambda tree: (tree / "usr/share/talk/damaged.ogg").write_bytes(b"OggS no more"),
    )

    def pack(tree):
        with zipfile.ZipFile(tree / "usr/share/tunes.pk3", "w") as members:
            members.write(tree / "usr/share/sound/x.wav", "music/x.wav")
        (tree / "usr/share/sound/x.wav").unlink()

    archive("tunes", {"sound/x.wav": noise(6, 1.0), "extra/y.wav": noise(7), "z.wav": noise(2)}, pack)
    monkeypatch.setattr(corpus, "fetch", archive.fetch)
    dest, judged = tmp_path / "data", {sounds.digest(noise(3))}
    corpus.prepare([SPEECH, MUSIC], dest, judged)
    rows = read(dest / "manifest.csv")
    assert [(Path(row["file"]).name, row["kind"], row["group"], row["split"]) for row in rows] == [
        ("a_desc_fr.wav.wav", "speech", "talk/fr", "train"),
        ("c_desc.wav.wav", "speech", "talk", "train"),
        ("x.wav.wav", "music", "tunes", "validation"),
    ]
    assert {row["file"] for row in rows} == {
        path.relative_to(dest).as_posix() for path in (dest / "audio").rglob("*.wav")
    }
    written, rate = soundfile.read(dest / rows[2]["file"], dtype="int16")
    assert rate == 16000 and np.abs(written.astype(int) - noise(6, 1.0)).max() <= 1 and rows[2]["seconds"] == "1.0"
    assert read(dest / "train.csv") == rows[:2] and read(dest / "validation.csv") == rows[2:]
    reasons = {Path(row["file"]).name: row["reason"] for row in read(dest / "skipped.csv")}
    assert reasons.pop("damaged.ogg") and reasons == {
        "b_desc_fr.flac.wav": "the same recording came before",
        "judged.wav.wav": "a test clip",
        "short.wav": "0.050 s long, expected 0.1 s or more",
        "silent.wav": "silent",
        "z.wav.wav": "the same recording came before",
    }
    sources = (dest / "SOURCES.md").read_text()
    assert "| talk | 1.2-3 | GPL-2 |" in sources and "Copyright of tunes" in sources

    corpus.prepare([SPEECH, MUSIC], dest, judged)  # finished: nothing is fetched
    assert archive.fetched == ["talk", "tunes"] and "made earlier" in capsys.readouterr().out


@needs_dpkg
def test_an_interrupted_run_continues_and_gives_what_an_uninterrupted_one_gives(tmp_path, archive, monkeypatch):
    archive("talk", {"a_desc_fr.wav": noise(1), "b.wav": noise(2)})
    archive("tunes", {"x/music/c.wav": noise(3)})
    monkeypatch.setattr(corpus, "fetch", archive.fetch)
    decode = sounds.decode

    def interrupted(folder, paths, shortest):
        if paths == ["usr/share/x/music/c.wav"]:
            raise KeyboardInterrupt
        return decode(folder, paths, shortest)

    monkeypatch.setattr(sounds, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        corpus.prepare([SPEECH, MUSIC], tmp_path / "one", set())
    assert not (tmp_path / "one" / "SOURCES.md").exists()
    monkeypatch.setattr(sounds, "decode", decode)
    corpus.prepare([SPEECH, MUSIC], tmp_path / "one", set())
    assert archive.fetched == ["talk", "tunes", "tunes"]
    corpus.prepare([SPEECH, MUSIC], tmp_path / "two", set())
    contents = [
        {path.relative_to(dest).as_posix(): path.read_bytes() for path in dest.rglob("*") if path.is_file()}
        for dest in (tmp_path / "one", tmp_path / "two")
    ]
    assert contents[0] == contents[1]


def test_without_ffmpeg_the_packages_that_need_it_are_left_out_and_named(monkeypatch):
    monkeypatch.setattr(sounds.shutil, "which", lambda tool: None)
    usable, left_out = corpus.available(PACKAGES)
    assert set(left_out) == {f"asterisk-core-sounds-{code}-g722" for code in ("en", "es", "fr", "it", "ru")}
    assert len(usable) + len(left_out) == len(PACKAGES)
    assert corpus.title(usable, set()) != corpus.title(PACKAGES, set())  # with ffmpeg, a later run adds them


def test_reserved_packages_are_named_nowhere_and_refused(tmp_path):
    tasked = [package for task in tasks.TASKS.values() for package in task.packages]
    assert not {package.name for package in [*PACKAGES, *tasked]} & set(RESERVED)
    with pytest.raises(ValueError, match="reserved"):
        corpus.prepare_package(Package(RESERVED[0], "", packages.SPEECH), tmp_path)


def test_every_kind_of_the_compact_set_is_on_both_sides_and_the_full_set_extends_it():
    compact = [package for package in PACKAGES if package.compact]
    assert compact == list(PACKAGES[: len(compact)])
    for validation in (False, True):
        found = {kind for package in compact if package.validation == validation for _, kind in package.kinds}
        assert found == set(packages.KINDS)
    test_sources = tasks.TEST_SOURCES
    assert not any(package.name.startswith(test_sources) for package in PACKAGES)


def test_folders_with_other_files_are_left_alone(tmp_path):
    (tmp_path / "mine.wav").touch()
    with pytest.raises(ValueError, match="holds other files"):
        corpus.prepare([SPEECH], tmp_path, set())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.wav"]


def resource(files, flags=0, damage=False):
    """A Qt resource file of format 3 with one folder, /sub, written by hand from the format's description."""
    names, contents, tree = b"", b"", b""

    def name(text):
        nonlocal names
        offset = len(names)
        names += struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")
        return offset

    tree += struct.pack(">IHIIQ", 0, 2, 1, 1, 0)  # the root: a folder whose one child is node 1
    tree += struct.pack(">IHIIQ", name("sub"), 2, len(files), 2, 0)
    for text, data in files.items():
        offset = len(contents)
        payload = struct.pack(">I", len(data)) + zlib.compress(data) if flags & 1 else data
        contents += struct.pack(">I", len(payload)) + payload
        tree += struct.pack(">IHHHIQ", name(text), flags, 0, 0, offset, 0)
    start = 24
    header = b"qres" + struct.pack(">5I", 3, start, start + len(tree), start + len(tree) + len(contents), 0)
    return header + tree + contents + (b"" if damage else names)


@pytest.mark.parametrize("flags", [0, 1])
def test_sounds_are_read_from_qt_resource_files(flags):
    files = {"a.ogg": b"first" * 9, "b.txt": b"no sound", "c.wav": b"second"}
    found = debian.read_rcc(resource(files, flags), (".ogg", ".wav"))
    assert found == [("sub/a.ogg", b"first" * 9), ("sub/c.wav", b"second")]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"RIFF", "expected b'qres'"),
        (resource({"a.ogg": b"x"})[:30], "damaged"),
        (resource({"a.ogg": b"x"}, damage=True), "damaged"),
        (resource({"a.ogg": b"x"}, flags=4), "zstd"),
    ],
)
def test_a_damaged_or_unknown_resource_file_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        debian.read_rcc(data, (".ogg",))


@pytest.mark.parametrize(
    "stem, instrument, label",
    [
        ("PearlTomFloor-Hard", "Pearl Tom Floor", "tom"),
        ("hhclosed_01", "Closed HH", "hihat"),
        ("HatPedal-Soft", "Hat Pedal", "hihat"),
        ("PowR_BD_1", "Kick 3", "kick"),
        ("bassdrum-4mics-br", None, "kick"),
        ("BL_01", "Ride Bell", "ride"),
        ("sd_01", "Snare Rock", "snare"),
        ("snare-opaque-rimshot6", "Snare1", "snare"),
        ("CrashRide18-0", "Crash/Ride", None),  # two drums
        ("Splash10-0", "Splash", None),
        ("beats_06-45", "f#4 -", None),
        ("RideBow-0", "Ride Bow (Custom, Zagrebin 22)", "ride"),
        ("x1", "Bell (Custom)", None),
    ],
)
def test_drums_are_named_by_the_file_else_by_the_instrument(stem, instrument, label):
    assert tasks.drum_label(stem, instrument) == label


def test_kits_of_one_series_are_one_family():
    families = {tasks.drum_family(f"usr/share/drumkits/{kit}/a.wav") for kit in ("Millo-Drums_v.1", "Millo_Multi2")}
    assert families == {"Millo"} and tasks.drum_family("usr/share/lmms/samples/drums/kick01.ogg") == "lmms"


@pytest.mark.parametrize(
    "path, expected",
    [
        ("x.pk3.d/sound/player/tony/Pain75_1.ogg", ("pain", "tony")),
        ("x.pk3.d/sound/player/tony/falling1.ogg", ("fall", "tony")),
        ("x.pk3.d/sound/player/marine/coms/taunt12.ogg", ("taunt", "marine")),
        ("x.pk3.d/sound/player/marine/coms/attack.ogg", None),
        ("x.pk3.d/sound/player/gasp.ogg", None),  # nobody's
    ],
)
def test_a_cry_and_who_utters_it_come_from_the_path(path, expected):
    assert tasks.vocalisation(path, {}) == expected


@pytest.mark.parametrize(
    "path, expected",
    [
        ("usr/share/tuxpaint/stamps/a/b_desc.ogg", ("en", "tuxpaint")),
        ("usr/share/tuxpaint/stamps/a/b_desc_fr.ogg", ("fr", "tuxpaint")),
        ("usr/share/asterisk/sounds/es_MX_f_Allison/digits/1.g722", ("es", "asterisk-f_allison")),
        ("usr/share/asterisk/sounds/es/digits/1.gsm", ("es", "asterisk-es")),
        ("usr/share/klettres/en_GB/alpha/a.ogg", ("en", "klettres")),
        ("usr/share/ktuberling/sounds/it/eye.ogg", ("it", "ktuberling")),
        ("usr/share/games/fillets-ng/sound/city/cs/vit-m-hlava.ogg", ("cs", "fillets")),
        ("usr/share/tuxpaint/stamps/a/b_desc_bg.ogg", None),
        ("usr/share/tuxpaint/stamps/a/b.ogg", None),
    ],
)
def test_the_language_and_source_come_from_the_path(path, expected):
    assert tasks.language(path, {}) == expected


def test_correlation_finds_a_recording_again_after_a_shift_another_gain_and_noise_but_no_other_sound():
    generator = np.random.default_rng(0)
    hits = [generator.standard_normal(9000) * np.exp(-np.arange(9000) / 1500) for _ in range(3)]
    copy = 0.3 * np.concatenate([np.zeros(700), hits[0]]) + 1e-4 * generator.standard_normal(9700)
    waveforms = [signal.astype(np.float32) for signal in (*hits, copy)]
    found = tasks.correlations(waveforms)
    assert found[0, 3] > tasks.SAME_RECORDING and np.allclose(found, found.T)
    others = found[~np.eye(4, dtype=bool) & (np.abs(np.subtract.outer(range(4), range(4))) != 3)]
    assert others.max() < 0.5
    naive = max(
        abs(np.correlate(np.diff(a[:2000], prepend=0), np.diff(b[:2000], prepend=0), "full")).max()
        / np.linalg.norm(np.diff(a[:2000], prepend=0))
        / np.linalg.norm(np.diff(b[:2000], prepend=0))
        for a, b in [(hits[0], hits[1])]
    )
    starts = [np.argmax(np.abs(hit) > 0.02 * np.abs(hit).max()) for hit in hits[:2]]
    if starts == [0, 0]:
        assert tasks.correlations(waveforms[:2], samples=2000)[0, 1] == pytest.approx(naive, rel=1e-3)


def test_groups_that_share_recordings_are_merged_or_lose_the_copies():
    def row(group, key):
        return {"group": group, "digest": key, "label": "kick"}

    before = [row("a", str(index)) for index in range(10)]
    before += [row("b", "0"), row("b", "1"), row("b", "b2")]  # two of three are a's
    before += [row("c", f"c{index}") for index in range(10)]
    rows, doubles = tasks.without_contradictions(before)
    assert doubles == 2
    similarity = np.eye(len(rows), dtype=np.float32)
    similarity[5, -1] = similarity[-1, 5] = 0.99  # one of c's ten sounds like one of a's: not enough to merge
    left, merged, copies = tasks.separate_groups(rows, similarity, before)
    assert {item["group"] for item in left} == {"a + b", "c"} and len(merged) == 1 and copies == 1
    assert len(left) == len(rows) - 1


def test_a_recording_with_two_labels_goes():
    rows = [{"digest": "1", "label": "pain"}, {"digest": "1", "label": "death"}, {"digest": "2", "label": "pain"}]
    assert tasks.without_contradictions(rows) == ([rows[2]], 2)


@needs_dpkg
def test_tasks_are_written_with_their_groups_and_folds(tmp_path, archive, monkeypatch):
    archive(
        "kits",
        {
            "drumkits/One/kick.wav": noise(1),
            "drumkits/One/snare.wav": noise(2),
            "drumkits/Two/x1.wav": noise(3, 0.06),
            "drumkits/Two/snare_copy.wav": noise(2),
        },
        lambda tree: (tree / "usr/share/drumkits/Two/drumkit.xml").write_text(
            "<k xmlns='a'><instrument><name>Kick</name><layer><filename>x1.wav</filename></layer></instrument></k>"
        ),
    )
    monkeypatch.setattr(corpus, "fetch", archive.fetch)
    task = tasks.Task((tasks.package("kits", "CC0"),), tasks.drum, compare=True)
    monkeypatch.setattr(tasks, "TASKS", {"drums": task})
    monkeypatch.setattr(tasks, "MERGE_SHARE", 0.9)
    tasks.prepare(["drums"], tmp_path / "tasks")
    rows = read(tmp_path / "tasks" / "drums.csv")
    assert list(rows[0]) == ["file", "label", "group", "fold"]
    assert [(row["label"], row["group"], row["fold"]) for row in rows] == [
        ("kick", "One", "0"),
        ("snare", "One", "0"),
        ("kick", "Two", "1"),
    ]
    assert all((tmp_path / "tasks" / row["file"]).exists() for row in rows)
    digests = (tmp_path / "tasks" / "drums_test_clips.txt").read_text().split()
    assert set(digests) == {sounds.digest(noise(seed, length)) for seed, length in ((1, 0.5), (2, 0.5), (3, 0.06))}
    for fold, tested in (("fold0", ["One", "One"]), ("fold1", ["Two"])):
        folder = tmp_path / "tasks" / "drums" / fold
        assert [row["group"] for row in read(folder / "test.csv")] == tested
        assert {row["group"] for row in read(folder / "train.csv")} == {"One", "Two"} - set(tested)
        clips = [clip for name in ("train", "test") for clip in read_clips(folder / f"{name}.csv", labelled=True)]
        assert len(clips) == 3 and all(Path(clip.path).exists() for clip in clips)
    shutil.rmtree(tmp_path / "tasks" / "drums")
    tasks.prepare(["drums"], tmp_path / "tasks")
    assert archive.fetched == ["kits"]
    assert (tmp_path / "tasks" / "drums" / "fold1" / "test.csv").exists()


def test_held_out_sources_are_one_pair_of_manifests(tmp_path):
    rows = [f"audio/{i}.wav,{label},g{i},{'test' if i < 2 else 'train'}" for i, label in enumerate("abab")]
    (tmp_path / "language.csv").write_text("\n".join(["file,label,group,fold", *rows]) + "\n")
    tasks.write_folds("language", tmp_path)
    assert sorted(path.name for path in (tmp_path / "language").iterdir()) == ["test.csv", "train.csv"]
    assert [row["file"] for row in read(tmp_path / "language" / "test.csv")] == ["../audio/0.wav", "../audio/1.wav"]


def test_a_machine_without_apt_gets_status_3_and_one_line(tmp_path):
    command = [sys.executable, "-m", "recipes.debian_audio.prepare", "corpus", str(tmp_path / "data")]
    environment = {"PYTHONPATH": str(ROOT), "PATH": str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert (result.returncode, result.stderr) == (
        debian.UNAVAILABLE,
        "the packages cannot be fetched here: apt-get is not installed\n",
    )
