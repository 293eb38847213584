# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Neighbours of a sound as lines of text, JSON lines, or a page with players, which is one file."""

import base64
import html
import io
import json
from typing import TextIO

from ..data.sources import Clip
from ..utils.text import first_sentence, printable
from .similar import Neighbour, clip_of

FORMATS = ("text", "json", "html")
PAGE_SECONDS, PAGE_RATE = 15.0, 32000  # of each sound in a page: half a megabyte
STYLE = (
    "body{font:16px/1.4 system-ui,sans-serif;max-width:50rem;margin:1rem auto;padding:0 1rem}"
    "li,header{margin:0 0 1rem}audio{display:block;width:100%;margin-top:.25rem}"
    "b{font-variant-numeric:tabular-nums}p{overflow-wrap:anywhere;margin:0}"
)


def write_neighbours(out: TextIO, format: str, query: Clip, neighbours: list[Neighbour], moments: bool) -> None:
    """
    Args:
        out: Open text file.
        format (`str`): One of `FORMATS`. A page holds the first 15 seconds of each sound, as FLAC.
        query: What was looked for.
        neighbours: What [`similar`] found.
        moments (`bool`): Whether they are parts of files.
    """
    if format == "html":
        out.write(_page(query, neighbours, moments))
        return
    for neighbour in neighbours:
        if format == "json":
            times = {"start": round(neighbour.start, 6), "end": round(neighbour.end or 0.0, 6)} if moments else {}
            line = json.dumps({"file": neighbour.file, "score": round(neighbour.score, 6), **times})
        else:
            line = f"{neighbour.score:8.4f}  {printable(neighbour.file)}{_times(neighbour, moments)}"
        print(line, file=out)


def _times(neighbour: Neighbour, moments: bool) -> str:
    return f"  {neighbour.start:.2f} to {neighbour.end:.2f} s" if moments else ""


def _page(query: Clip, neighbours: list[Neighbour], moments: bool) -> str:
    title = html.escape(f"Similar to {printable(query.name)}")
    rows = [
        f"<li><p><b>{neighbour.score:.4f}</b> {_text(neighbour.file)}{_times(neighbour, moments)}</p>"
        f"{_player(clip_of(neighbour, PAGE_SECONDS))}</li>\n"
        for neighbour in neighbours
    ]
    length = PAGE_SECONDS if query.duration is None else min(PAGE_SECONDS, query.duration)
    heard = Clip(query.path, offset=query.offset, duration=length, member=query.member, channel=query.channel)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>{title}</title><style>{STYLE}</style>\n'
        f"<header><h1>{title}</h1>{_player(heard)}</header>\n<ol>\n{''.join(rows)}</ol></html>\n"
    )


def _player(clip: Clip | None) -> str:
    """An audio element that holds its sound, or why there is none."""
    import soundfile

    if clip is None:
        return "<p>(its file is not here)</p>"
    file = io.BytesIO()
    try:
        soundfile.write(file, clip.load(PAGE_RATE).clip(-1, 1), PAGE_RATE, format="FLAC")
    except (OSError, ValueError) as error:
        return f"<p>({_text(first_sentence(error))})</p>"
    return (
        f'<audio controls preload="none" src="data:audio/flac;base64,{base64.b64encode(file.getvalue()).decode()}">'
        "</audio>"
    )


def _text(value: str) -> str:
    """For a page in UTF-8: bytes of a name that are not become escapes."""
    return html.escape(printable(value).encode("utf-8", "backslashreplace").decode())
