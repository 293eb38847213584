#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo's data set: who speaks, the small or the big fish of the game Fish Fillets?

The sound is Debian's package fillets-ng-data-nl (33 MB) or -cs (39 MB), fetched with apt-get as an ordinary user and
unpacked without installing anything. Its clips are `sound/<level>/<language>/<scene>-<speaker>-<words>.ogg`: speaker
`m` (malá, small in Czech) is the small fish, `v` (velká) the big one; other marks are side characters, left out here.
Each language has its own two actors: one package gives two classes, `small_fish_dutch` and `big_fish_dutch`, both
give four, with `small_fish_czech` and `big_fish_czech`.

Writes DEST/{train,test}/<label>/<level>_<clip>.ogg, no level in both splits and no recording twice, and
DEST/SOURCES.md. Exits with 0 when the data is there, 3 when this machine cannot fetch it.
"""

import argparse
import hashlib
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipes import debian
from recipes.debian import UNAVAILABLE, Unavailable
from ssast_hf.audio import load_audio

LANGUAGES = {"cs": "czech", "nl": "dutch"}
SPEAKERS = {"m": "small_fish", "v": "big_fish"}


def parse_clip(path: Path) -> tuple[str, str] | None:
    """Gives (label, level) of `sound/<level>/<language>/<scene>-<m or v>-<words>.ogg`, None for any other file.

    A level may be several folders deep: those names are joined by "-".
    """
    match = re.fullmatch(r"[^-]+-([mv])-.+\.ogg", path.name)
    folders = path.parent.parts
    if not match or "sound" not in folders or folders[-1] not in LANGUAGES:
        return None
    level = "-".join(folders[folders.index("sound") + 1 : -1])
    return f"{SPEAKERS[match[1]]}_{LANGUAGES[folders[-1]]}", level


def is_test_level(level: str) -> bool:
    """Puts about one level in six into the test split, by its name alone: in every language the same ones."""
    return int(hashlib.sha256(level.encode()).hexdigest(), 16) % 6 == 0


def sound_key(path: Path) -> str | None:
    """Digest of the decoded sound; None where there is none to decode (the Dutch package has empty clips)."""
    try:
        return hashlib.sha256(load_audio(path).tobytes()).hexdigest()
    except ValueError:
        return None


def deduplicate(keys: dict[Path, str | None]) -> list[Path]:
    """Keeps the first path, in sorted order, of each key; those without a key go."""
    first: dict[str, Path] = {}
    for path in sorted(path for path, key in keys.items() if key is not None):
        first.setdefault(keys[path], path)
    return sorted(first.values())


def make(packages: list[str], title: str, work: Path, made: Path) -> None:
    """Fills `made` with train/, test/ and SOURCES.md; everything else stays in `work`."""
    sources = [title, "", "Unchanged files of these Debian packages; what their copyright files say:"]
    debian.require_tools("apt-get", "dpkg-deb")
    for package in packages:
        print(f"fetching {package}", flush=True)
        archive = debian.fetch(package, work)
        print(f"unpacking {archive.name}", flush=True)
        version = debian.unpack(archive, work / "unpacked")
        text = debian.copyright_text(work / "unpacked", package)
        sources += ["", f"## {package} {version} (the sound: GPL-2)", "", "```text", text, "```"]
    clips = [path for path in (work / "unpacked").rglob("*.ogg") if parse_clip(path)]
    print(f"decoding {len(clips)} clips to find doubles", flush=True)
    counts: Counter[str] = Counter()
    for path in deduplicate({path: sound_key(path) for path in clips}):
        label, level = parse_clip(path)
        target = made / ("test" if is_test_level(level) else "train") / label / f"{level}_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
        counts[target.parent.relative_to(made).as_posix()] += 1
    (made / "SOURCES.md").write_text("\n".join(sources) + "\n", encoding="utf-8")
    print(", ".join(f"{folder} {count}" for folder, count in sorted(counts.items())), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dest", type=Path, help="folder to hold train/, test/ and SOURCES.md")
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=["nl"], help="two give four classes")
    args = parser.parse_args()
    packages = [f"fillets-ng-data-{language}" for language in sorted(set(args.languages))]
    title = f"# Demo data from {' and '.join(packages)}"
    sources = args.dest / "SOURCES.md"
    if sources.exists() and sources.read_text(encoding="utf-8").startswith(title + "\n"):
        print(f"{args.dest} is ready, made earlier")
        return 0
    for name in ("train", "test", "SOURCES.md"):
        if (args.dest / name).exists():
            parser.error(
                f"dest: {args.dest / name} exists and is not from {' and '.join(packages)}; name a new folder"
            )
    args.dest.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".prepare-", dir=args.dest.resolve()) as work:
            make(packages, title, Path(work), made := Path(work, "made"))
            for name in ("train", "test", "SOURCES.md"):
                (made / name).rename(args.dest / name)
    except Unavailable as error:
        print(f"the demo data cannot be fetched here: {error}", file=sys.stderr)
        return UNAVAILABLE
    print(f"{args.dest} is ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
