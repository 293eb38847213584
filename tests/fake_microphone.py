# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the module sounddevice."""

from types import ModuleType

import numpy as np


class FakeMicrophone(ModuleType):
    """What `stream_microphone` uses of sounddevice 0.5: a stereo ramp's first channel at 48 kHz."""

    class PortAudioError(Exception):
        pass

    def __init__(self, stop_after=None):
        super().__init__("sounddevice")
        self.open, self.stop_after = 0, stop_after

    def InputStream(self, device=None, channels=None, dtype=None):
        if device == "nothing":
            raise ValueError("No input device matching 'nothing'")
        assert channels == 1 and dtype == "float32"
        module, position = self, 0

        class Stream:
            samplerate = 48000.0

            def __enter__(self):
                module.open += 1
                return self

            def __exit__(self, *_):
                module.open -= 1

            def read(self, frames):
                nonlocal position
                if module.stop_after is not None and position >= module.stop_after:
                    raise KeyboardInterrupt
                position += frames
                return np.full((frames, 1), 0.25, np.float32), False

        return Stream()
