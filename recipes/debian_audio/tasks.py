# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labelled tasks: what is heard (file names), who made it (groups), and which groups are judged together (folds).

The split decides what is measured. Clips of one drum kit, one game character or one speaker stay on one side of it; a
recording occurs once; and groups that share recordings in other encodings are found and merged, or lose the copies.
"""

import csv
import random
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import torch

from recipes.manifests import write_manifest
from ssast_hf.audio import load_audio
from ssast_hf.feature_extraction_ssast import FRAME_SECONDS

from . import corpus, sounds
from .packages import ASTERISK, BY, BY_SA, Package

COLUMNS = ("file", "label", "group", "fold")

DRUMS = {
    "crash": r"crash",
    "hihat": r"hat|hh",
    "kick": r"kick|bass ?drum|(?<![a-z])bd",
    "ride": r"ride",
    "snare": r"snare|(?<![a-z])s[dn](?![a-z])",
    "tom": r"(?<!cus)(?<!bot)tom",
}
VOICES = r"(pain|death|taunt|jump|drown|fall|gasp)(ing)?[\d_]*"
LANGUAGES = ("ca", "cs", "da", "de", "el", "en", "es", "fr", "it", "lt", "nl", "ru")
TEST_SOURCES = ("asterisk-prompt", "ktuberling-data")  # of spoken language: other speakers, texts and microphones

SAME_RECORDING = 0.95  # correlation from which two clips count as one recording
MERGE_SHARE = 0.2  # of a group's clips that another group holds too, from which the two are merged


def drum_label(stem: str, instrument: str | None) -> str | None:
    """The drum that a file name speaks of, else its instrument's name in the kit; None for none, or more than one."""
    for text in (stem, instrument or ""):
        found = [label for label, pattern in DRUMS.items() if re.search(pattern, text.lower().replace("_", " "))]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def drum_family(path: str) -> str:
    """The kit, or series of kits by one maker, that a path belongs to."""
    kit = re.search(r"drumkits/([^/]+)/", path)
    if not kit:
        return "lmms"
    return "Millo" if kit[1].startswith("Millo") else kit[1]


def instruments(unpacked: Path) -> dict[str, str]:
    """Instruments' names by the paths of their samples, from each `drumkit.xml` under a folder."""
    names = {}
    for path in sorted(unpacked.rglob("drumkit.xml")):
        root = ElementTree.fromstring(path.read_bytes())
        for element in root.iter():
            element.tag = element.tag.split("}")[-1]
        for instrument in root.iter("instrument"):
            for sample in instrument.iter("filename"):
                file = (path.parent / (sample.text or "")).relative_to(unpacked).as_posix()
                names.setdefault(file, (instrument.findtext("name") or "").strip())
    return names


def drum(path: str, extra: dict) -> tuple[str, str] | None:
    if "/drumkits/" not in path and "/samples/drums/" not in path:
        return None
    label = drum_label(Path(path).stem, extra.get("instrument"))
    return label and (label, drum_family(path))


def vocalisation(path: str, extra: dict) -> tuple[str, str] | None:
    """Label and character of `player/<character>/[<folder>/]<label><number>.<suffix>`, None for any other file."""
    character = re.search(r"player/([^/]+)/(?:[^/]+/)?([^/]+)\.\w+$", path)
    label = character and re.fullmatch(VOICES, character[2].lower())
    return (label[1], character[1]) if label else None


def language(path: str, extra: dict) -> tuple[str, str] | None:
    """Language and source of a spoken clip, None for any other file and for languages of one source."""
    for pattern, source in (
        (r"_desc_?([a-z]*)[^/]*\.ogg$", "tuxpaint"),
        (r"asterisk/sounds/([a-z]{2})(?:_[A-Z]{2}_([mf]_\w+))?/", "asterisk"),
        (r"klettres/([a-z]+)", "klettres"),
        (r"ktuberling/sounds/([a-z]+)", "ktuberling"),
        (r"fillets-ng/.*/(cs|nl)/", "fillets"),
    ):
        if match := re.search(pattern, path):
            code = match[1] or "en"
            name = f"{source}-{(match[2] or match[1]).lower()}" if source == "asterisk" else source
            return (code, name) if code in LANGUAGES else None
    return None


def language_fold(row: dict) -> str:
    return "test" if row["package"].startswith(TEST_SOURCES) else "train"


@dataclass(frozen=True)
class Task:
    """A labelled task.

    Args:
        packages: What holds its clips.
        label: Path in the package and extra facts -> (label, group), or None.
        compare: Whether to look for copies of a recording in other encodings (as many comparisons as pairs of clips).
        fold: Row -> fold; by default each group is one.
    """

    packages: tuple[Package, ...]
    label: Callable[[str, dict], tuple[str, str] | None]
    compare: bool
    fold: Callable[[dict], str] | None = None


def package(name: str, licence: str, patterns: str = "*") -> Package:
    return Package(name, licence, ((patterns, "task"),))


TASKS = {
    "drums": Task(
        (
            package(
                "hydrogen-drumkits",
                "GPL-2, GPL-2+, CC-BY-3.0, CC-BY-SA-3.0, CC0 (by kit)",
                "*/drumkits/*",
            ),
            package("hydrogen-data", "GPL-2+", "*/drumkits/*"),
            package("lmms-common", "GPL-2+", "*/samples/drums/*"),
        ),
        drum,
        compare=True,
    ),
    "vocal": Task(
        (
            package("openarena-081-players", "GPL-2+, GPL-2 (merman)", "*/player/*"),
            package("openarena-data", "GPL-2+", "*/player/*"),
            package("nexuiz-data", "GPL-2+", "*/player/*"),
        ),
        vocalisation,
        compare=True,
    ),
    "language": Task(
        (
            package("tuxpaint-stamps-default", "GPL-2", "*_desc*.ogg"),
            *(package(ASTERISK.format(code), BY_SA) for code in ("en", "es", "fr")),
            *(package(ASTERISK.format(code), BY) for code in ("it", "ru")),
            package("fillets-ng-data-cs", "GPL-2"),
            package("fillets-ng-data-nl", "GPL-2"),
            package("klettres-data", "GPL-2+"),
            package("ktuberling-data", "GPL-2+"),
            package("asterisk-prompt-it-menardi-wav", BY_SA),
            package("asterisk-prompt-fr-armelle", "BSD-like (see below)"),
            package("asterisk-prompt-es-co", "see below"),
        ),
        language,
        compare=False,
        fold=language_fold,
    ),
}


def without_contradictions(rows: list[dict]) -> tuple[list[dict], int]:
    """Keeps the first row of each recording; those that occur under two labels go. Also returns how many went."""
    labels = defaultdict(set)
    for row in rows:
        labels[row["digest"]].add(row["label"])
    seen, kept = set(), []
    for row in rows:
        if len(labels[row["digest"]]) == 1 and row["digest"] not in seen:
            seen.add(row["digest"])
            kept.append(row)
    return kept, len(rows) - len(kept)


def correlations(waveforms: Sequence[np.ndarray], samples: int = 8000) -> np.ndarray:
    """The largest normalised cross-correlation of each two waveforms over all shifts.

    Args:
        waveforms: Each of shape (samples,). Their beginnings are compared, after a high-pass: low drums would all
            resemble each other.
        samples: How much of each counts.

    Returns:
        float32 array of shape (waveforms, waveforms), symmetric, 1 on the diagonal. A shift, another gain or rate, and
        coding with losses change it little; a different hit of the same drum does.
    """
    size = 1 << (2 * samples - 1).bit_length()
    spectra = torch.zeros(len(waveforms), size // 2 + 1, dtype=torch.complex64)
    for index, waveform in enumerate(waveforms):
        start = int(np.argmax(np.abs(waveform) > 0.02 * np.abs(waveform).max(initial=0)))  # silence before the hit
        signal = np.diff(waveform[start : start + samples].astype(np.float64), prepend=0)
        signal /= np.sqrt(np.sum(signal**2)) or 1
        spectra[index] = torch.fft.rfft(torch.from_numpy(signal.astype(np.float32)), size)
    result = np.eye(len(waveforms), dtype=np.float32)
    for index in range(len(waveforms) - 1):
        products = torch.fft.irfft(spectra[index + 1 :] * spectra[index].conj(), size, dim=1)
        result[index, index + 1 :] = result[index + 1 :, index] = products.abs().amax(dim=1).numpy()
    return result


def separate_groups(rows: list[dict], similarity: np.ndarray, before: list[dict]) -> tuple[list[dict], list[str], int]:
    """Makes groups independent: those that share much are merged, of those that share little the later copies go.

    Args:
        rows: With `group` and `digest`, each recording once.
        similarity: Of shape (rows, rows), from `correlations`.
        before: The rows before their doubles went; a recording that two groups had is one that they share.

    Returns:
        The rows left, with their new groups; what was merged, in words; how many copies went.
    """
    holders, recordings = defaultdict(set), defaultdict(set)
    for row in before:
        holders[row["digest"]].add(row["group"])
        recordings[row["group"]].add(row["digest"])
    shared = defaultdict(set)
    for key, groups in holders.items():
        for pair in permutations(groups, 2):
            shared[pair].add(key)
    pairs = []
    for i, j in zip(*np.where(np.triu(similarity, 1) >= SAME_RECORDING)):
        one, other = rows[i]["group"], rows[j]["group"]
        if one != other:
            pairs.append((i, j))
            shared[one, other].add(rows[i]["digest"])
            shared[other, one].add(rows[j]["digest"])
    parent = {group: group for group in recordings}

    def root(group: str) -> str:
        return group if parent[group] == group else root(parent[group])

    merged = []
    for (one, other), keys in sorted(shared.items()):
        if len(keys) >= MERGE_SHARE * len(recordings[one]) and root(one) != root(other):
            parent[root(one)] = root(other)
            merged.append(f"{one} with {other} ({len(keys)} of its {len(recordings[one])} recordings)")
    names = defaultdict(list)
    for group in sorted(recordings):
        names[root(group)].append(group)
    copies = {j for i, j in pairs if root(rows[i]["group"]) != root(rows[j]["group"])}
    left = [
        row | {"group": " + ".join(names[root(row["group"])])} for index, row in enumerate(rows) if index not in copies
    ]
    return left, merged, len(copies)


def describe(unpacked: Path) -> dict[str, dict]:
    return {path: {"instrument": name} for path, name in instruments(unpacked).items()}


def make_task(name: str, packages: Sequence[Package], dest: Path) -> list[dict]:
    """Writes DEST/<name>.csv, its folds and DEST/<name>_test_clips.txt from packages decoded in DEST; gives the rows.

    The latter holds digests of all recordings that the task judges with: those that a corpus must not hold.
    """
    task, rows = TASKS[name], []
    for package in packages:
        for row in corpus.read_state(package.name, dest)["rows"]:
            if found := task.label(row["path"], row):
                rows.append(row | {"label": found[0], "group": found[1], "package": package.name})
    before = rows
    rows, doubles = without_contradictions(before)
    notes = [f"{len(before):,} clips, {doubles:,} doubles"]
    if task.compare:
        similarity = correlations([load_audio(dest / row["file"]) for row in rows])
        rows, merged, copies = separate_groups(rows, similarity, before)
        notes += [f"merged {text}" for text in merged] + [f"{copies} copies in other encodings left out"]
    if task.fold is None:
        numbers = {group: str(number) for number, group in enumerate(sorted({row["group"] for row in rows}))}
        rows = [row | {"fold": numbers[row["group"]]} for row in rows]
        judged = before
    else:
        rows = [row | {"fold": task.fold(row)} for row in rows]
        sides = [{row["label"] for row in rows if row["fold"] == fold} for fold in ("train", "test")]
        rows = [row for row in rows if row["label"] in sides[0] & sides[1]]
        judged = [row for row in rows if row["fold"] == "test"]
    digests = sorted({row["digest"] for row in judged})
    sounds.write_text(dest / f"{name}_test_clips.txt", "\n".join(digests) + "\n")
    sounds.write_text(dest / f"{name}.csv", corpus.to_csv(rows, COLUMNS))
    write_folds(name, dest)
    counts = Counter(row["label"] for row in rows)
    print(f"{name}: {'; '.join(notes)}", flush=True)
    print(f"  {len(rows):,} clips in {len({row['fold'] for row in rows})} folds: ", end="")
    print(", ".join(f"{label} {count}" for label, count in counts.most_common()), flush=True)
    return rows


def at_most(rows: list[dict], count: int, draw: random.Random) -> list[dict]:
    """`count` clips of each label, or as many as there are."""
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    return [row for _, own in sorted(by_label.items()) for row in draw.sample(own, min(count, len(own)))]


def write_folds(name: str, dest: Path) -> None:
    """Writes what `ssast finetune` takes, the clips to train on and to test, of DEST/<name>.csv into DEST/<name>/.

    A task whose folds are "train" and "test" has train.csv and test.csv; of another, fold<k>/test.csv has fold k and
    fold<k>/train.csv the rest.
    """
    with open(dest / f"{name}.csv", encoding="utf-8", newline="") as file:
        rows = [row | {"file": dest / row["file"]} for row in csv.DictReader(file)]
    folds = sorted({row["fold"] for row in rows})
    whole = folds == ["test", "train"]
    for fold in ["test"] if whole else folds:
        folder = dest / name if whole else dest / name / f"fold{fold}"
        write_manifest(folder / "train.csv", [row for row in rows if row["fold"] != fold])
        write_manifest(folder / "test.csv", [row for row in rows if row["fold"] == fold])


def record_test_clips(dest: Path, target: Path) -> None:
    """Writes the digests of all tasks in `dest` to the file that `corpus` reads. ValueError: one is missing."""
    lines = [
        "# Recordings that the labelled tasks judge with (sounds.digest), written by: prepare.py tasks DEST --record"
    ]
    for name in TASKS:
        path = dest / f"{name}_test_clips.txt"
        if not path.exists():
            raise ValueError(f"{path} does not exist; expected all tasks, made by an earlier run")
        lines += [f"# {name}", *path.read_text().split()]
    sounds.write_text(target, "\n".join(lines) + "\n")


def prepare(names: Sequence[str], dest: Path) -> None:
    """Makes tasks in `dest`; a task whose list is there already is not made again.

    Raises:
        Unavailable: A package cannot be fetched here.
        ValueError: `dest` holds something else.
    """
    for name in names:
        packages, left_out = corpus.available(TASKS[name].packages)
        first = f"# {name}: {', '.join(package.name for package in packages)}"
        notice = dest / f"{name}_SOURCES.md"
        if notice.exists() and notice.read_text(encoding="utf-8").split("\n", 1)[0] == first:
            print(f"{name} is ready, made earlier")
            if not (dest / name).exists():
                write_folds(name, dest)
            continue
        for package_name, why in left_out.items():
            print(f"{package_name}: left out, {why}", flush=True)
        corpus.prepare_packages(packages, dest, describe, FRAME_SECONDS)
        make_task(name, packages, dest)
        states = {package.name: corpus.read_state(package.name, dest) for package in packages}
        table = ["", "| package | version | licence of its sound |", "|---|---|---|"]
        table += [f"| {name} | {state['version']} | {state['licence']} |" for name, state in states.items()]
        lines = [first, *table, *corpus.copyright_sections(states)]
        sounds.write_text(notice, "\n".join(lines) + "\n")
