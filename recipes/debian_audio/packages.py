# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Which Debian packages hold recorded sound, of what kind, under what licence, and on which side of the split."""

import fnmatch
import re
from dataclasses import dataclass

# For judging finished checkpoints: used nowhere here, and never to be added.
RESERVED = ("gcin-voice", "hedgewars-data")

KINDS = ("speech", "music", "effect")


@dataclass(frozen=True)
class Package:
    """A package of the corpus.

    Args:
        name: Debian's.
        licence: Of its sound, as its copyright file states it.
        kinds: Pairs of a pattern (of fnmatch, for the path in the package; `|` between several) and the kind of the
            files that match, `None` to leave them out. The first that matches counts.
        group: A regular expression; what its first group finds in the path tells sources in the package apart.
        compact: Whether it belongs to the compact set.
        validation: Whether it is held out, whole.
    """

    name: str
    licence: str
    kinds: tuple[tuple[str, str | None], ...]
    group: str = ""
    compact: bool = False
    validation: bool = False

    @property
    def raw(self) -> bool:
        """Whether its files have no header, so that only FFmpeg reads them."""
        return self.name.endswith(("-g722", "prompt-fr-armelle", "prompt-es-co"))

    def kind(self, path: str) -> str | None:
        """The kind of a file, by its path in the package; None if it is left out."""
        for patterns, kind in self.kinds:
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns.split("|")):
                return kind
        return None

    def source(self, path: str) -> str:
        """The package's name, and the source in it that a file is from."""
        match = re.search(self.group, path) if self.group else None
        return f"{self.name}/{match[1].lower()}" if match and match[1] else self.name


SPEECH, MUSIC, EFFECT = (("*", "speech"),), (("*", "music"),), (("*", "effect"),)
MIXED = (("*/music/*", "music"), ("*", "effect"))
ASTERISK = "asterisk-core-sounds-{}-g722"
BY_SA, BY = "CC-BY-SA-3.0", "CC-BY-3.0"

# In this order: of equal recordings the first stays. The compact set comes first, so the full one extends it.
PACKAGES = (
    Package(
        "tuxpaint-stamps-default",
        "GPL-2",
        (("*_desc*.ogg", "speech"), ("*", "effect")),
        group=r"_desc_?(\w*)\.ogg$",
        compact=True,
    ),
    Package(ASTERISK.format("en"), BY_SA, SPEECH, compact=True),
    Package(ASTERISK.format("es"), BY_SA, SPEECH, compact=True),
    Package(ASTERISK.format("fr"), BY_SA, SPEECH, compact=True),
    Package(ASTERISK.format("ru"), BY, SPEECH, compact=True),
    Package(ASTERISK.format("it"), BY, SPEECH, compact=True, validation=True),
    Package("fillets-ng-data-cs", "GPL-2", SPEECH, group=r"/[^-/]+-([mv])-", compact=True),
    Package("fillets-ng-data-nl", "GPL-2", SPEECH, group=r"/[^-/]+-([mv])-", compact=True),
    Package("klettres-data", "GPL-2+", SPEECH, group=r"klettres/(\w+)/", compact=True),
    Package("planetblupi-music-ogg", "GPL-3+", MUSIC, compact=True),
    Package("singularity-music", BY_SA, MUSIC, compact=True),
    Package("drascula-music", "Drascula-License", MUSIC, compact=True),
    Package(
        "colobot-common-sounds",
        "GPL-3+",
        (("*/music/*", "music"), ("*", "effect")),
        group=r"colobot/(\w+)/",
        compact=True,
        validation=True,
    ),
    Package(
        "ufoai-sound",
        "GPL-2+, GPL-2, CC-BY-3.0, CC-BY-SA-3.0, public domain (by file)",
        (("*/music/*", "music"), ("*", "effect")),
        group=r"sound/(\w+)/",
        compact=True,
    ),
    # The full set goes on here.
    Package("wesnoth-1.16-music", "GPL-2+", MUSIC),
    Package("nexuiz-music", "GPL-2", MUSIC),
    Package("hyperrogue-music", "GPL-2+, CC-BY-SA-3.0, CC-BY-SA-4.0, CC-BY-3.0, CC0-1.0 (by file)", MIXED),
    Package("asc-music", "GPL-2+", MUSIC),
    Package("widelands-data", "GPL-2+, CC-BY-SA-3.0 (by file)", MIXED),
    Package("supertuxkart-data", "GPL-3+, others by file", MIXED),
    Package(
        "freedroidrpg-data",
        "GPL-2+",
        (("*/voice_samples/*|*/tux_ingame_comments/*", "speech"), *MIXED),
        group=r"sound/(music|effects)/",
    ),
    Package("unknown-horizons", "CC-BY-SA-3.0", (("*/voice/*", "speech"), *MIXED)),
    Package("warmux-data", "GPL-2+", (("*/voices/*", "speech"), *MIXED)),
    Package("megaglest-data", "CC-BY-SA-3.0", MIXED),
    Package(
        "warzone2100-data",
        "GPL-2+",
        (("*/sfx/*|*/radclick/*", "effect"), ("*/music/*", "music"), ("*", "speech")),
        group=r"audio/(\w+)/",
    ),
    Package("gcompris-qt-data", "GPL-3+, others by file", EFFECT),
    Package("hydrogen-drumkits-effects", BY, (("*GuitarStrums*", "music"), ("*", None))),
    Package(
        "lomiri-sounds",
        "CC0-1.0, CC-BY-3.0, CC-BY-4.0, CC-BY-SA-3.0 (by file)",
        (("*/ringtones/*", "music"), ("*", "effect")),
        validation=True,
    ),
    Package(
        "sonic-pi-samples",
        "CC0, others by file",
        (("*/loop_*|*/guit_*|*/bass_*", "music"), ("*", "effect")),
    ),
    Package("wesnoth-1.16-data", "GPL-2+", MIXED),
    Package("bucklespring-data", "GPL-2+", EFFECT),
)
