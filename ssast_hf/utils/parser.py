# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The command line parser of all `ssast` commands."""

import argparse
import difflib
import sys
from collections.abc import Iterable

from .text import printable

EXIT_WRONG = 2
BOTH_SPELLINGS = "Flags may be written with hyphens or underscores: --output-dir, --output_dir."


class Parser(argparse.ArgumentParser):
    """
    An `ArgumentParser` that

    - says what is wrong in one line, without the usage, with exit status 2;
    - takes flags with hyphens and with underscores;
    - refuses abbreviated flags, which could mean another flag in a later version;
    - refuses empty arguments, such as those of a shell variable that is not set: as a path they mean this directory;
    - names the flags that are most like an unknown one (for commands see [`suggestion`]).
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str):
        self.exit(EXIT_WRONG, f"ssast: error: {printable(message)} (see `{self.prog} --help`)\n")

    def parse_known_args(self, args=None, namespace=None):
        """As `argparse`'s, but unknown arguments are an error here as well."""
        args = self._spelled(sys.argv[1:] if args is None else list(args))
        for before, argument in zip(["", *args], args):
            if not argument or (argument.startswith("--") and argument.endswith("=")):
                name = argument[:-1] or (before if before.startswith("--") else "an argument")
                self.error(f"{name} is empty, expected a value: is a variable of the shell not set?")
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def _spelled(self, args: list[str]) -> list[str]:
        """The arguments with each long flag in the spelling that the parser knows. An unknown flag is an error."""
        known = self._option_string_actions
        spellings = {flag.replace("_", "-"): flag for flag in known}
        for index, argument in enumerate(args):
            if argument == "--" or (self._subparsers is not None and not argument.startswith("-")):
                break  # the rest are positional, or the arguments of a subcommand
            name, equals, value = argument.partition("=")
            if not argument.startswith("--") or name in known or " " in name:
                continue
            spelled = spellings.get(name.replace("_", "-"), "")
            if not spelled:
                self.error(f"there is no flag {name}{suggestion(name, _spellings(known))}")
            args[index] = spelled + equals + value
        return args


def _spellings(known: dict[str, argparse.Action]) -> list[str]:
    """The flags that `--help` shows, one spelling of each."""
    shown = [action.option_strings[0] for action in dict.fromkeys(known.values()) if action.help != argparse.SUPPRESS]
    return [flag for flag in shown if flag.startswith("--")]


def suggestion(name: str, known: Iterable[str]) -> str:
    """
    `: did you mean --this or --that?`, with up to three of the known flags or commands: first by initials, then those
    with all words; empty if none is like `name`.
    """
    flags = {flag.strip("-").replace("_", "-"): flag for flag in known}  # by their words
    words = name.strip("-").replace("_", "-").lower()
    initials = {"".join(word[:1] for word in flag.split("-")): flag for flag in reversed(flags)}
    found = [initials[words]] if len(words) > 1 and words in initials else []
    found += [flag for flag in flags if set(words.split("-")) <= set(flag.split("-"))]
    found += [flag for flag in flags if flag.startswith(words)]
    found += difflib.get_close_matches(words, flags, n=3, cutoff=0.6)
    found = [flags[flag] for flag in dict.fromkeys(found)][:3]
    return f": did you mean {' or '.join(found)}?" if found else ""
