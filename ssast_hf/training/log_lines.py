# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What training prints while it runs: a line of words for what the Trainer logs, instead of a Python dict."""

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerState

PARTS = {"eval_": "validation", "test_": "test", "train_": "in all"}  # prefixes of names
LEFT_OUT = {"epoch", "step", "total_flos"}
# How values are written that need a unit, or another order of words than that of their names.
WRITTEN = {
    "loss_discriminative": "discriminative loss {}", "loss_generative": "generative loss {}", "runtime": "took {} s",
    "samples_per_second": "{} clips/s", "clips_per_second": "{} clips/s", "steps_per_second": "{} steps/s",
    "hours_seen": "{} h of sound seen", "samples": "{} clips", "unreadable_samples": "{} clips unreadable",
}  # fmt: skip


def log_line(logs: dict, state: TrainerState) -> str:
    """`step 8 of 40, epoch 2, validation: loss 1.226, accuracy 0.25`."""
    names = [name for name in logs if name not in LEFT_OUT]
    prefix = next((prefix for prefix in PARTS if names and names[0].startswith(prefix)), "")
    head = f"step {state.global_step} of {state.max_steps}" if state.max_steps > 0 else f"step {state.global_step}"
    epoch = "" if logs.get("epoch") is None else f", epoch {logs['epoch']:.4g}"
    part = f", {PARTS[prefix]}" if prefix else ""
    return f"{head}{epoch}{part}: {written({name.removeprefix(prefix): logs[name] for name in names})}"


def written(values: dict) -> str:
    """`discriminative loss 1.226, accuracy 0.25, took 3.1 s`, of values by name."""
    texts = (WRITTEN.get(name, name.replace("_", " ") + " {}").format(_short(value)) for name, value in values.items())
    return ", ".join(texts)


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class PrintLines(PrinterCallback):
    """For logs in files and pipes."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_local_process_zero and logs:
            print(log_line(logs, state), flush=True)


class LinesAboveBar(ProgressCallback):
    """For terminals, where the progress bar stays below."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and self.training_bar is not None and logs:
            self.training_bar.write(log_line(logs, state))


def print_lines(trainer: Trainer) -> None:
    """Replaces the callback by which a Trainer prints."""
    for old, new in ((PrinterCallback, PrintLines), (ProgressCallback, LinesAboveBar)):
        if trainer.pop_callback(old) is not None:
            trainer.add_callback(new)
