# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Procedural sound: an endless corpus without a file.

[`synthesize`] makes sounds of harmonic and inharmonic partials, frequency modulation, bands of noise, clicks with
resonances and voices of a few formants, with envelopes, glides, vibrato and rhythms, one or two of them at a time, in
rooms of decaying noise. Every number in a sound is a hash of (seed, index, purpose), so that sound `index` of a `seed`
is the same in whatever batch it is made, on any device (up to rounding).

Letters in shape comments: B sounds, S samples.
"""

import math

import torch

RATE = 16000  # Hz
KINDS = ("harmonic", "inharmonic", "fm", "noise", "clicks", "voice")
PARTIALS = 24
MASK32 = 0xFFFFFFFF
FORMANTS = (
    (300, 870, 2240),
    (700, 1200, 2600),
    (530, 1840, 2480),
    (640, 1190, 2390),
    (270, 2290, 3010),
    (440, 1020, 2240),
    (860, 2050, 2850),
    (370, 950, 2670),
    (490, 1350, 1690),
)
BANDWIDTHS = (90.0, 120.0, 180.0)  # Hz, of formants


def _mix(value: torch.Tensor) -> torch.Tensor:
    """Scrambles 32-bit whole numbers, kept in int64."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B & 0x7FFFFFFF)):
        value = ((value ^ (value >> shift)) * factor) & MASK32
    return value ^ (value >> 16)


def uniform(seed: int, index: torch.Tensor, purpose: int, count: int = 1) -> torch.Tensor:
    """Numbers (B, count) in [0, 1) that depend on nothing but seed, index (B,), purpose and place."""
    key = _mix(_mix(index.long() & MASK32) + (seed * 0x9E3779B1 & MASK32) & MASK32)
    key = _mix(key + (purpose * 0x85EBCA77 & MASK32) & MASK32)
    counter = torch.arange(count, device=index.device) * 0x9E3779B1
    return (_mix((key[:, None] + counter) & MASK32) >> 8).float() / 2**24


def normal(seed: int, index: torch.Tensor, purpose: int, count: int) -> torch.Tensor:
    """White noise (B, count) of deviation 1."""
    half = (count + 1) // 2
    u = uniform(seed, index, purpose, 2 * half)
    radius = (-2 * (1 - u[:, :half]).log()).sqrt()
    angle = 2 * math.pi * u[:, half:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


class _Draw:
    """Draws of a batch of sounds, each call for another purpose: `draw(low, high)` (B, 1), log-uniform if `log`."""

    def __init__(self, seed: int, index: torch.Tensor, purpose: int):
        self.seed, self.index, self.purpose = seed, index, purpose * 1000

    def next(self) -> int:
        self.purpose += 1
        return self.purpose

    def __call__(self, low: float, high: float, count: int = 1, log: bool = False) -> torch.Tensor:
        u = uniform(self.seed, self.index, self.next(), count)
        if log:
            return (math.log(low) + u * math.log(high / low)).exp()
        return low + u * (high - low)

    def chance(self, probability: float) -> torch.Tensor:
        """(B, 1), 1.0 or 0.0."""
        return (self(0.0, 1.0) < probability).float()

    def noise(self, count: int) -> torch.Tensor:
        return normal(self.seed, self.index, self.next(), count)


def _envelope(draw: _Draw, time: torch.Tensor, seconds: float) -> torch.Tensor:
    """
    Loudness over time (B, S): events that rise and fall, once or in a rhythm of 8 places, on a plateau or not.
    """
    period = draw(0.08, 0.7, log=True)
    once = draw.chance(0.4)
    onset = draw(0.0, 0.3 * seconds) * draw.chance(0.6)
    pattern = (draw(0.0, 1.0, 8) < draw(0.3, 1.0)).float()
    accents = draw(0.3, 1.0, 8) * pattern
    accents[:, 0] = 1.0
    since = (time - onset).clamp(min=0)
    place = (since / period).floor()
    within = since - place * period
    accent = accents.gather(1, (place.long() % 8))
    within, accent = torch.where(once > 0, since, within), torch.where(once > 0, 1.0, accent)
    attack, decay = draw(0.001, 0.15, log=True), draw(0.02, 1.5, log=True)
    hold = draw(0.0, 1.0) * draw.chance(0.4) * seconds
    rising = (within / attack).clamp(max=1)
    falling = torch.exp(-(within - attack - hold * once).clamp(min=0) / decay)
    started = (time >= onset).float()
    shaped = accent * rising * falling * started
    steady = draw.chance(0.15)
    return torch.where(steady > 0, 0.6 + 0.4 * shaped, shaped)


def _phase(draw: _Draw, time: torch.Tensor, seconds: float, low: float, high: float, rate: int) -> tuple:
    """Fundamental (B, S) in Hz, with glides, steps of melody and vibrato, and its phase (B, S) in turns."""
    base = draw(low, high, log=True)
    glide = draw(-1.0, 1.0) * draw.chance(0.35)  # octaves
    curve = draw(1.0, 20.0, log=True) / seconds
    vibrato = draw(0.0, 0.03) * draw.chance(0.4)
    speed = draw(3.0, 9.0)
    steps = (draw(-7.0, 8.0, 16).floor() / 12) * draw.chance(0.4)  # semitones of a melody
    note = draw(0.1, 0.6, log=True)
    melody = steps.gather(1, (time / note).long() % 16)
    octaves = glide * torch.exp(-time * curve) + melody + vibrato * torch.sin(2 * math.pi * speed * time)
    frequency = (base * torch.exp2(octaves)).clamp(20, 0.45 * rate)
    return frequency, (frequency.double().cumsum(1) / rate).remainder(1.0 * 2**20)


def _partials(phase: torch.Tensor, frequency: torch.Tensor, ratios: torch.Tensor, gains, rate: int) -> torch.Tensor:
    """Sum of sines (B, S) at ratios (B, n) of a fundamental; `gains(n, Hz)` -> (B, S or 1)."""
    total = torch.zeros_like(frequency)
    for n in range(ratios.shape[1]):
        hertz = frequency * ratios[:, n : n + 1]
        turns = (phase * ratios[:, n : n + 1].double()).remainder(1.0).float()
        total += torch.sin(2 * math.pi * turns) * gains(n, hertz) * (hertz < 0.47 * rate)
    return total


def _shape_spectrum(waveform: torch.Tensor, gain_at) -> torch.Tensor:
    """Filters (B, S): `gain_at(Hz (1, bins))` -> (B, bins)."""
    samples = waveform.shape[1]
    spectrum = torch.fft.rfft(waveform, n=2 * samples)
    hertz = torch.linspace(0, 1, spectrum.shape[1], device=waveform.device)[None]
    return torch.fft.irfft(spectrum * gain_at(hertz), n=2 * samples)[:, :samples]


def _source(kind: str, draw: _Draw, time: torch.Tensor, seconds: float, rate: int) -> torch.Tensor:
    """One sound source per batch entry, (B, S), its loudness changing over time."""
    if kind in ("harmonic", "inharmonic"):
        return _tone(kind, draw, time, seconds, rate)
    if kind == "fm":
        return _frequency_modulation(draw, time, seconds, rate)
    if kind == "voice":
        return _voice(draw, time, seconds, rate)
    return _filtered_noise(kind, draw, time, seconds, rate)


def _tone(kind: str, draw: _Draw, time: torch.Tensor, seconds: float, rate: int) -> torch.Tensor:
    """Partials at whole multiples of a fundamental, slightly stretched or not, or at other ratios: (B, S)."""
    numbers = torch.arange(1, PARTIALS + 1, device=time.device)[None].float()
    frequency, phase = _phase(draw, time, seconds, 50, 1800, rate)
    if kind == "harmonic":
        stretch = draw(1e-5, 3e-3, log=True) * draw.chance(0.3)
        ratios = numbers * (1 + stretch * numbers.square()).sqrt()
        odd = 1 - draw.chance(0.25) * (numbers % 2 == 0)
    else:
        ratios = 1 + (draw(0.2, 2.2, PARTIALS) * numbers / 2).cumsum(1) / 2 - draw(0.0, 0.3)
        odd = torch.ones_like(ratios)
    slope, damping = draw(0.3, 2.5), draw(0.0, 6.0) * draw.chance(0.6)
    levels = odd * numbers**-slope * draw(0.4, 1.0, PARTIALS)
    envelope = _envelope(draw, time, seconds)

    def gains(n: int, hertz: torch.Tensor) -> torch.Tensor:
        # High partials die earlier: as the envelope falls, they fall faster.
        return levels[:, n : n + 1] * envelope.clamp(min=1e-4) ** (1 + damping * n / PARTIALS)

    return _partials(phase, frequency, ratios, gains, rate)


def _frequency_modulation(draw: _Draw, time: torch.Tensor, seconds: float, rate: int) -> torch.Tensor:
    """A sine whose phase another one modulates, (B, S)."""
    _, phase = _phase(draw, time, seconds, 60, 1500, rate)
    whole = draw.chance(0.6)
    ratio = draw(0.3, 6.0)
    ratio = torch.where(whole > 0, ratio.round().clamp(min=1), ratio)
    envelope = _envelope(draw, time, seconds)
    index = draw(0.3, 12.0, log=True) * envelope ** draw(0.0, 2.0)
    modulator = torch.sin(2 * math.pi * (phase * ratio.double()).remainder(1.0).float())
    return torch.sin(2 * math.pi * phase.remainder(1.0).float() + index * modulator) * envelope


def _voice(draw: _Draw, time: torch.Tensor, seconds: float, rate: int) -> torch.Tensor:
    """Syllables of a vowel and a hiss, (B, S): partials under three formants, which glide."""
    batch, samples = len(draw.index), time.shape[1]
    numbers = torch.arange(1, PARTIALS + 1, device=time.device)[None].float()
    frequency, phase = _phase(draw, time, seconds, 80, 350, rate)
    syllables = 10
    table = torch.tensor(FORMANTS, device=time.device).float()
    vowels = table[(draw(0, 1, syllables) * len(table)).long().clamp(max=len(table) - 1)]  # (B, syllables, 3)
    place = time * draw(2.0, 7.0)
    now, blend = place.floor().long() % syllables, ((place % 1 - 0.6) / 0.4).clamp(0, 1)
    size = draw(0.8, 1.3)  # of the vocal tract
    rows = torch.arange(batch, device=time.device)[:, None]
    formants = torch.lerp(vowels[rows, now], vowels[rows, (now + 1) % syllables], blend[..., None]) * size[..., None]
    width = draw(0.7, 2.0)
    tilt = draw(0.6, 1.6)

    def resonance(hertz: torch.Tensor) -> torch.Tensor:
        return (
            sum(
                level / (1 + ((hertz - formants[..., k]) / (BANDWIDTHS[k] * width)).square())
                for k, level in enumerate((1.0, 0.6, 0.35))
            )
            + 0.01
        )

    beat = place % 1
    consonant = draw(0.0, 0.35)
    voiced = ((beat - consonant) / 0.1).clamp(0, 1) * (1 - ((beat - 0.85) / 0.15).clamp(0, 1) * draw(0.0, 1.0))
    spoken = (draw(0, 1, syllables) < 0.85).float().gather(1, now)
    tone = _partials(
        phase, frequency, numbers.expand(batch, -1), lambda n, hertz: (n + 1) ** -tilt * resonance(hertz), rate
    )
    hiss = draw.noise(samples)
    center, wide = draw(1500, 6500), draw(500, 3000)
    hiss = _shape_spectrum(hiss, lambda f: torch.exp(-((f * rate / 2 - center) / wide).square()))
    breath = draw(0.0, 0.2)
    return (tone * voiced + hiss * (0.35 * (1 - voiced) * (beat < consonant + 0.05) + breath * voiced * 0.2)) * spoken


def _filtered_noise(kind: str, draw: _Draw, time: torch.Tensor, seconds: float, rate: int) -> torch.Tensor:
    """White noise, or random clicks, through four resonances: (B, S)."""
    samples = time.shape[1]
    if kind == "noise":
        waveform = draw.noise(samples)
    else:  # clicks
        density = draw(2.0, 800.0, log=True) / rate
        waveform = (uniform(draw.seed, draw.index, draw.next(), samples) < density).float() * draw.noise(samples)
    centers, widths, levels = draw(80, 7500, 4, log=True), draw(0.02, 0.8, 4, log=True), draw(0.0, 1.0, 4)
    floor, slope = draw(1e-4, 0.3, log=True), draw(-1.5, 0.5)

    def gain(place: torch.Tensor) -> torch.Tensor:
        hertz = (place * rate / 2).clamp(min=20)
        peaks = sum(
            levels[:, k : k + 1] * torch.exp(-(((hertz / centers[:, k : k + 1]).log() / widths[:, k : k + 1]) ** 2))
            for k in range(4)
        )
        return peaks + floor * (hertz / 1000) ** slope

    waveform = _shape_spectrum(waveform, gain)
    return waveform * _envelope(draw, time, seconds)


def _room(waveform: torch.Tensor, draw: _Draw, rate: int) -> torch.Tensor:
    """Adds reverberation (B, S): decaying noise, darker with time."""
    samples = waveform.shape[1]
    length = min(samples, int(0.8 * rate))
    time = torch.arange(length, device=waveform.device)[None] / rate
    tail = draw.noise(length) * torch.exp(-6.9 * time / draw(0.05, 1.2, log=True)) * (time > draw(0.001, 0.03))
    tail = tail / tail.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)
    wet = draw(0.1, 1.0) * draw.chance(0.5)
    size = samples + length
    spectrum = torch.fft.rfft(waveform, n=size) * (1 + wet * torch.fft.rfft(tail, n=size))
    return torch.fft.irfft(spectrum, n=size)[:, :samples]


@torch.no_grad()
def synthesize(seed: int, index: torch.Tensor, samples: int, sampling_rate: int = RATE) -> torch.Tensor:
    """
    Sounds of a seed, by their numbers.

    Args:
        seed (`int`): Of the endless series.
        index (`torch.Tensor` of shape `(B,)`, int64): Which sounds of it; the sound is made on this tensor's device.
        samples (`int`): Length of each. (A sound of another length is another sound: rooms and envelopes follow it.)
        sampling_rate (`int`): Hz.

    Returns:
        `torch.FloatTensor` of shape `(B, samples)`, in [-1, 1]
    """
    index = torch.as_tensor(index).long()
    seconds = samples / sampling_rate
    time = (torch.arange(samples, device=index.device) / sampling_rate)[None].expand(len(index), -1)
    total = torch.zeros_like(time)
    for layer in range(2):  # all sounds have a first source, two in five a second
        present = uniform(seed, index, 10 + layer)[:, 0] < (1.0, 0.4)[layer]
        which = (uniform(seed, index, 20 + layer)[:, 0] * len(KINDS)).long()
        level = 10 ** (-uniform(seed, index, 30 + layer) * (0.0, 1.2)[layer])
        for number, kind in enumerate(KINDS):
            mine = (present & (which == number)).nonzero()[:, 0]
            if not len(mine):
                continue
            draw = _Draw(seed, index[mine], 1 + layer)
            sound = _source(kind, draw, time[mine], seconds, sampling_rate)
            sound = sound / sound.square().mean(1, keepdim=True).sqrt().clamp(min=1e-5)
            total[mine] += sound * level[mine]
    draw = _Draw(seed, index, 9)
    total = _room(total, draw, sampling_rate)
    hiss = draw.noise(samples) * draw(1e-4, 0.05, log=True) * total.square().mean(1, keepdim=True).sqrt()
    total = total + hiss
    peak = total.abs().amax(1, keepdim=True).clamp(min=1e-6)
    return total / peak * draw(0.05, 0.98, log=True)


def pool(
    seed: int, count: int, samples: int, device: torch.device | str = "cpu", batch: int = 256, first: int = 0
) -> torch.Tensor:
    """`count` sounds from number `first` on, int16 (count, samples), made in batches."""
    parts = []
    for start in range(first, first + count, batch):
        index = torch.arange(start, min(start + batch, first + count), device=device)
        parts.append((synthesize(seed, index, samples) * 32767).round().to(torch.int16))
    return torch.cat(parts)
