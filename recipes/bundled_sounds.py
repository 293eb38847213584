# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Makes ssast_hf/bundled/sounds: short recorded sounds in a folder per kind, from Debian's package sonic-pi-samples.

Only samples that the package's copyright file puts under CC0, each in an entry of its own. They are mixed down and
resampled to 16 kHz, as the models hear them, and written as FLAC, with README.md and LICENSE beside them.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import soundfile

from recipes import debian
from recipes.debian import UNAVAILABLE, Unavailable
from ssast_hf import load_audio

PACKAGE = "sonic-pi-samples"
RATE = 16000
KINDS = {
    "ambience": "ambi_choir ambi_dark_woosh ambi_piano ambi_soft_buzz ambi_swoosh",
    "bass": "bass_dnb_f bass_drop_c bass_hard_c bass_hit_c bass_voxy_hit_c bass_woodsy_c",
    "bleep": "elec_beep elec_bell elec_blip elec_blip2 elec_bong elec_ping elec_plip elec_triangle",
    "cymbal": "drum_cymbal_closed drum_cymbal_hard drum_cymbal_open drum_cymbal_pedal drum_cymbal_soft "
    "drum_splash_hard drum_splash_soft elec_cymbal",
    "effect": "drum_cowbell misc_burp misc_crow perc_snap perc_swash perc_till vinyl_backspin vinyl_scratch",
    "guitar": "guit_e_slide guit_harmonics",
    "kick": "bd_808 bd_fat bd_gas bd_haus bd_klub bd_pure bd_sone bd_tek drum_heavy_kick",
    "loop": "loop_amen loop_breakbeat loop_industrial loop_tabla",
    "snare": "drum_snare_hard drum_snare_soft elec_hi_snare elec_lo_snare elec_mid_snare elec_snare sn_dolf sn_dub "
    "sn_zome",
    "tabla": "tabla_dhec tabla_ghe1 tabla_ghe4 tabla_ghe8 tabla_na tabla_re tabla_tas1 tabla_te2 tabla_te_m",
    "tom": "drum_tom_hi_hard drum_tom_hi_soft drum_tom_lo_hard drum_tom_lo_soft drum_tom_mid_hard drum_tom_mid_soft",
}
README = """# Bundled sounds

Short recorded sounds for the demo, the notebooks and first tries: `<kind>/<name>.flac`, {count} files in
{kinds} kinds, {seconds:.0f} s, a folder that `ssast finetune --data` takes as it is. In Python, where they are:

    from pathlib import Path
    import ssast_hf

    sounds = Path(ssast_hf.__file__).parent / "bundled" / "sounds"

They are `/usr/share/sonic-pi/samples/<name>.flac` of Debian's package `{package}`, version `{version}`, mixed
down to one channel, resampled to 16 kHz and written as 16-bit FLAC by `recipes/bundled_sounds.py`. The last three
columns repeat what that package's copyright file says of each; samples to which it gives no CC0 entry of their own are
not here. CC0 1.0 ([LICENSE](LICENSE)): https://creativecommons.org/publicdomain/zero/1.0/

| file | seconds | author (copyright) | source | licence |
|---|--:|---|---|---|
"""


def cc0_entries(text: str) -> dict[str, dict[str, str]]:
    """The fields of each entry of a Debian copyright file that puts one sample under CC0, by the sample's name."""
    entries = {}
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^(Files|Copyright|Source|License): *(.+)$", paragraph, flags=re.M))
        match = re.fullmatch(r"etc/samples/(\w+)\.flac", fields.get("Files", ""))
        if match and fields.get("License") == "CC0":
            entries[match[1]] = fields
    return entries


def cc0_text(text: str) -> str:
    """The licence itself, the paragraph of a Debian copyright file that begins with its name."""
    paragraph = next(part for part in text.split("\n\n") if part.startswith("License: CC0\n "))
    lines = [line.removeprefix(" ") for line in paragraph.splitlines()[1:]]
    return "\n".join("" if line == "." else line for line in lines).strip() + "\n"


def make(work: Path, dest: Path) -> None:
    debian.require_tools("apt-get", "dpkg-deb")
    version = debian.unpack(debian.fetch(PACKAGE, work), work / "unpacked")
    text = debian.copyright_text(work / "unpacked", PACKAGE)
    entries = cc0_entries(text)
    rows, total = [], 0.0
    for kind, names in KINDS.items():
        for name in names.split():
            if name not in entries:
                raise ValueError(f"{name}: the copyright file of {PACKAGE} {version} has no CC0 entry for it.")
            samples = load_audio(work / f"unpacked/usr/share/sonic-pi/samples/{name}.flac", RATE)
            (dest / kind).mkdir(parents=True, exist_ok=True)
            soundfile.write(dest / kind / f"{name}.flac", samples, RATE, subtype="PCM_16", compression_level=1.0)
            seconds, entry = len(samples) / RATE, entries[name]
            total += seconds
            rows.append(f"| {kind}/{name}.flac | {seconds:.2f} | {entry['Copyright']} | {entry['Source']} | CC0 |")
    head = README.format(count=len(rows), kinds=len(KINDS), seconds=total, package=PACKAGE, version=version)
    (dest / "README.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    (dest / "LICENSE").write_text(cc0_text(text), encoding="utf-8")
    size = sum(path.stat().st_size for path in dest.rglob("*.flac"))
    print(f"{dest}: {len(rows)} sounds, {total:.0f} s, {size / 1e6:.2f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("dest", type=Path, help="folder to write; must not exist")
    arguments = parser.parse_args()
    if arguments.dest.exists():
        parser.error(f"dest: {arguments.dest} exists; name a new folder")
    try:
        with tempfile.TemporaryDirectory() as work:
            make(Path(work), arguments.dest)
    except Unavailable as error:
        print(f"the samples cannot be fetched here: {error}", file=sys.stderr)
        return UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
