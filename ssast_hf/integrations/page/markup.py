# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The parts of the page that are HTML: the table of sounds, the player with its timeline, the events."""

import base64
import html
import math
from collections.abc import Sequence
from urllib.parse import quote

from ...inference.events import Event
from .visit import Sound

MOST_EVENTS = 500  # in the table; the downloads have them all
MOST_TRACKS = 20  # of labels with events
TICKS = 6  # about as many times on the axis
LAST_TICK = 0.93  # of the width: the name of a later time would leave the page
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def text(value: object) -> str:
    """A text as HTML, also as an attribute's value; braces and dollars are those of Gradio's templates."""
    escaped = html.escape(str(value))
    return "".join(f"&#{ord(char)};" if char in "{}$`\\" else char for char in escaped)


def clock(seconds: float, digits: int = 0) -> str:
    """Seconds as `m:ss` or `h:mm:ss`, with digits of a second."""
    unit = 10**digits
    whole, part = divmod(round(seconds * unit), unit)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    clock = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{clock}.{part:0{digits}}" if digits else clock


def sounds_table(sounds: Sequence[Sound], chosen: str | None, counts: Sequence[int] | None) -> str:
    """
    A row for each sound: its name, which chooses it, its length, its best label, how many events it has, its state.

    Args:
        counts: Numbers of events, where there are events.
    """
    if not sounds:
        return '<p class="hint">Nothing to analyse yet: drop sounds, record one, or choose an example.</p>'
    done = sum(sound.complete or bool(sound.error) for sound in sounds)
    heads = ["Sound", "Length", "Best label", "Events"][: 4 if counts is not None else 3]
    rows = [
        _sound_row(index, sound, sound.path == chosen, None if counts is None else counts[index])
        for index, sound in enumerate(sounds)
    ]
    return (
        f'<p role="status" class="hint">{done} of {len(sounds)} analysed. Choose a sound to see its timeline.</p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Sounds"><table><thead><tr>'
        f"{_heads(*heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heads(*names: str) -> str:
    return "".join(f'<th scope="col">{name}</th>' for name in names)


def _sound_row(index: int, sound: Sound, chosen: bool, count: int | None) -> str:
    name = (
        f'<th scope="row"><button type="button" data-index="{index}" aria-pressed="{str(chosen).lower()}">'
        f"{text(sound.name)}</button></th>"
    )
    columns = 2 if count is None else 3
    if sound.error:
        return f'<tr class="failed">{name}<td colspan="{columns}">{text(sound.error)}</td></tr>'
    if not sound.complete:
        return f'<tr>{name}<td colspan="{columns}">{_progress(sound)}</td></tr>'
    best = next(iter(sound.scores.items()), None)
    label = "" if best is None else f"{text(best[0])} <small>{best[1]:.2f}</small>"
    events = "" if count is None else f'<td class="number">{count}</td>'
    return f'<tr>{name}<td class="number">{clock(sound.seconds, 1)}</td><td>{label}</td>{events}</tr>'


def _progress(sound: Sound) -> str:
    if not sound.seconds:
        return "waiting"
    if not sound.length:
        return f"{clock(sound.seconds)} analysed"
    return (
        f'<progress max="{sound.length:.3f}" value="{min(sound.seconds, sound.length):.3f}" aria-label="Progress">'
        f"</progress> {clock(sound.seconds)} of {clock(sound.length)}"
    )


def viewer(sound: Sound | None) -> str:
    """A player, and under it the spectrogram and the labels' scores over time, which are clicked to hear a moment."""
    if sound is None:
        return ""
    title = f"<h3>{text(sound.name)}</h3>"
    if sound.error:
        return f'{title}<p role="alert" class="failed">{text(sound.error)}</p>'
    if not sound.complete:
        return f'{title}<p class="hint">The timeline comes when the sound is analysed.</p>'
    frequencies = "".join(
        f'<span style="bottom:{100 * place:.2f}%">{text(name)}</span>' for place, name in sound.frequencies
    )
    tracks = [_track("", f"{frequencies}", sound.spectrogram, "spectrogram")]
    tracks += [_track(text(label), "", row, "scores") for label, row in sound.timelines.items()]
    return (
        f"{title}"
        f'<audio controls preload="metadata" src="gradio_api/file={quote(sound.path)}"></audio>'
        '<p class="unplayable failed" hidden>This browser cannot play the format of this file.</p>'
        '<p class="hint">Click a moment to hear it. With the keyboard: arrows move, Space '
        f"plays.{' The darker a moment, the higher the score.' if sound.timelines else ''}</p>"
        f'<div class="tracks time" role="slider" tabindex="0" aria-label="Position in {text(sound.name)}" '
        f'aria-valuemin="0" aria-valuemax="{sound.seconds:.3f}" aria-valuenow="0" aria-valuetext="0:00" '
        f'data-seconds="{sound.seconds:.3f}">{"".join(tracks)}{_axis(sound.seconds)}'
        '<div class="cursor" aria-hidden="true"><i></i></div></div>'
    )


def _track(label: str, inside: str, picture: bytes, kind: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return (
        f'<div class="track {kind}"><div class="name">{label}</div>'
        f'<div class="strip"><img alt="" src="{source}">{inside}</div></div>'
    )


def _axis(seconds: float) -> str:
    """The times under the tracks."""
    step = next((step for step in STEPS if seconds / step <= TICKS), STEPS[-1])
    ticks = [index * step for index in range(math.floor(LAST_TICK * seconds / step) + 1)]
    spans = "".join(
        f'<span style="left:{100 * tick / max(seconds, 1e-6):.3f}%">{clock(tick, int(step < 1))}</span>'
        for tick in ticks
    )
    return f'<div class="track axis" aria-hidden="true"><div class="name"></div><div class="strip">{spans}</div></div>'


def events_view(sound: Sound | None, events: Sequence[Event], labels: Sequence[str], threshold: float) -> str:
    """
    The events of the sound that is shown: on tracks by label, and as a table whose buttons play them. `labels` are
    those of the windows' scores.
    """
    if sound is None or not sound.complete:
        return ""
    if not events:
        peak, label = max((float(scores.max()), labels[int(scores.argmax())]) for _, _, scores in sound.windows)
        return (
            f'<p role="status" class="hint">No event reaches {threshold:g}. The highest score is {peak:.2f} '
            f"({text(label)}).</p>"
        )
    heard = list(dict.fromkeys(event.label for event in sorted(events, key=lambda event: -event.score)))
    tracks = "".join(_event_track(label, events, sound.seconds) for label in heard[:MOST_TRACKS])
    rows = "".join(
        f'<tr><td><button type="button" data-start="{event.start:.3f}" data-end="{event.end:.3f}" aria-label="Play '
        f'{text(event.label)} from {clock(event.start, 2)} to {clock(event.end, 2)}">&#9654;</button></td>'
        f'<td class="number">{clock(event.start, 2)}</td><td class="number">{clock(event.end, 2)}</td>'
        f'<td>{text(event.label)}</td><td class="number">{event.score:.2f}</td></tr>'
        for event in events[:MOST_EVENTS]
    )
    left = len(events) - MOST_EVENTS
    more = f'<p class="hint">{left} more are in the downloads.</p>' if left > 0 else ""
    return (
        f'<p role="status" class="hint">{len(events)} event{"s" if len(events) > 1 else ""} in {text(sound.name)}.</p>'
        f'<div class="tracks">{tracks}</div>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Events"><table><thead><tr>'
        f"{_heads('Play', 'Start', 'End', 'Label', 'Score')}</tr>"
        f"</thead><tbody>{rows}</tbody></table></div>{more}"
    )


def _event_track(label: str, events: Sequence[Event], seconds: float) -> str:
    places = [(100 * event.start / seconds, 100 * event.end / seconds) for event in events if event.label == label]
    marks = "".join(f'<i style="left:{start:.3f}%;width:{end - start:.3f}%"></i>' for start, end in places)
    return f'<div class="track events"><div class="name">{text(label)}</div><div class="strip">{marks}</div></div>'
