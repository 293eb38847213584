# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Style and script of the page's own parts. Nothing is fetched from elsewhere."""

STYLE = """
& { font-size: 0.95rem; color: var(--body-text-color); }
h3 { margin: 0 0 0.5rem; font-size: 1.1rem; overflow-wrap: anywhere; }
audio { display: block; width: 100%; }
.hint { margin: 0.4rem 0; color: color-mix(in srgb, var(--body-text-color) 75%, transparent); }
.failed { color: var(--error-text-color, #b91c1c); overflow-wrap: anywhere; }
.scroll { max-height: 22rem; overflow: auto; border: 1px solid var(--border-color-primary); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: left; vertical-align: middle; overflow-wrap: break-word;
  border-bottom: 1px solid var(--border-color-primary); }
td.number { white-space: nowrap; }
thead th { overflow-wrap: normal; }
tbody th { min-width: 7rem; font-weight: normal; overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: var(--background-fill-secondary); font-weight: 600; }
tbody tr:last-child > * { border-bottom: 0; }
progress { width: 6rem; max-width: 100%; vertical-align: middle; appearance: auto; accent-color: var(--color-accent); }
button { min-height: 2.25rem; min-width: 2.25rem; padding: 0.2rem 0.5rem; text-align: left; font: inherit;
  color: inherit; cursor: pointer; overflow-wrap: anywhere; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); border-radius: 6px; }
button[aria-pressed="true"] { font-weight: 600; border-color: var(--color-accent);
  box-shadow: inset 3px 0 var(--color-accent); }
:focus-visible { outline: 2px solid var(--color-accent); outline-offset: 2px; }
.tracks { --side: 9rem; position: relative; margin: 0.5rem 0; user-select: none; touch-action: pan-y; }
.time { cursor: pointer; }
.track { display: grid; grid-template-columns: var(--side) 1fr; align-items: stretch; margin-bottom: 2px; }
.name { padding-right: 0.5rem; text-align: right; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  line-height: 1.4rem; font-size: 0.85rem; }
.strip { position: relative; min-height: 1.4rem; background: var(--background-fill-secondary); overflow: hidden; }
.strip img { position: absolute; inset: 0; width: 100%; height: 100%; max-width: none; margin: 0; border-radius: 0;
  object-fit: fill; }
.scores img { image-rendering: pixelated; }
.spectrogram .strip { height: 9rem; }
.spectrogram span { position: absolute; left: 2px; transform: translateY(50%); padding: 0 2px; font-size: 0.65rem;
  line-height: 1.1; color: #fff; background: rgb(0 0 0 / 55%); pointer-events: none; }
.axis .strip { background: none; overflow: visible; font-size: 0.75rem; font-variant-numeric: tabular-nums; }
.axis span { position: absolute; border-left: 1px solid currentColor; padding-left: 3px; }
.events .strip { cursor: pointer; }
.events i { position: absolute; top: 15%; bottom: 15%; min-width: 2px; background: var(--color-accent); }
.cursor { position: absolute; inset: 0 0 0 var(--side); pointer-events: none; }
.cursor i { position: absolute; top: 0; bottom: 0; left: 0; width: 2px; margin-left: -1px; background: #16a34a;
  box-shadow: 0 0 0 1px #fff; }
@media (max-width: 640px) {
  .tracks { --side: 0px; }
  .track { grid-template-columns: 1fr; }
  .name { text-align: left; line-height: 1.2rem; }
  .name:empty { display: none; }
  .scroll { margin-inline: -0.7rem; }
  table { font-size: 0.85rem; }
  th, td { padding: 0.3rem 0.25rem; }
  tbody th { min-width: 5.5rem; }
  .axis .strip { font-size: 0.65rem; }
}
"""

CHOOSE = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-index]');
  if (button) trigger('select', {index: Number(button.dataset.index), value: button.textContent});
});
"""

# What plays a moment of the sound that is shown: `document` hears of it, so that the table of events asks for it, too.
PLAYER = """
const find = selector => element.querySelector(selector);
const clock = seconds => {
  const whole = Math.floor(seconds), rest = String(whole % 60).padStart(2, '0'), minutes = Math.floor(whole / 60);
  return minutes < 60 ? minutes + ':' + rest
    : Math.floor(minutes / 60) + ':' + String(minutes % 60).padStart(2, '0') + ':' + rest;
};
let end = null;
const show = position => {
  const time = find('.time');
  if (!time) return;
  const seconds = Number(time.dataset.seconds);
  find('.cursor i').style.left = 100 * Math.min(1, position / seconds) + '%';
  time.setAttribute('aria-valuenow', position.toFixed(3));
  time.setAttribute('aria-valuetext', clock(position) + ' of ' + clock(seconds));
};
const seek = (position, play, until) => {
  const audio = find('audio'), time = find('.time');
  if (!audio || !time) return;
  position = Math.max(0, Math.min(position, Number(time.dataset.seconds)));
  end = until ?? null;
  audio.currentTime = position;
  show(position);
  if (play) audio.play().catch(() => {});
};
const toggle = () => {
  const audio = find('audio');
  if (audio.paused) audio.play().catch(() => {}); else audio.pause();
};
element.addEventListener('click', event => {
  const strip = event.target.closest('.time .strip');
  if (!strip) return;
  const box = strip.getBoundingClientRect();
  seek((event.clientX - box.left) / box.width * Number(find('.time').dataset.seconds), true);
});
element.addEventListener('keydown', event => {
  const time = event.target.closest('.time');
  if (!time || event.ctrlKey || event.altKey || event.metaKey) return;
  const seconds = Number(time.dataset.seconds), now = find('audio').currentTime;
  const step = Math.max(0.1, Math.min(5, seconds / 50));
  const moves = {ArrowLeft: now - step, ArrowDown: now - step, ArrowRight: now + step, ArrowUp: now + step,
    PageDown: now - seconds / 10, PageUp: now + seconds / 10, Home: 0, End: seconds};
  if (event.key in moves) seek(moves[event.key], false);
  else if (event.key === ' ' || event.key === 'Enter') toggle();
  else return;
  event.preventDefault();
});
element.addEventListener('timeupdate', event => {
  const audio = event.target;
  if (end !== null && audio.currentTime >= end) { audio.pause(); end = null; }
  show(audio.currentTime);
}, true);
element.addEventListener('error', event => {
  if (event.target.tagName === 'AUDIO') find('.unplayable').hidden = false;
}, true);
document.addEventListener('ssast-hear', event => {
  if (!element.isConnected) return;
  const {share, start, end} = event.detail, time = find('.time');
  if (time) seek(share === undefined ? start : share * Number(time.dataset.seconds), true, end);
});
"""

HEAR = """
const hear = detail => document.dispatchEvent(new CustomEvent('ssast-hear', {detail}));
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-start]'), strip = event.target.closest('.strip');
  if (button) hear({start: Number(button.dataset.start), end: Number(button.dataset.end)});
  else if (strip) {
    const box = strip.getBoundingClientRect();
    hear({share: (event.clientX - box.left) / box.width});
  }
});
"""
