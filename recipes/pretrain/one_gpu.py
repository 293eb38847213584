#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Pretrains a small model on one GPU in minutes: the corpus, its crops, features and augmentation are all on the GPU, and
the schedule is by the clock. See one_gpu.md.

    python -m ssast_hf.training.packed unpack SHARDS --output corpus
    python -m recipes.pretrain.one_gpu --corpus corpus --output_dir runs/one_gpu --seconds 400 --clip 1 --mspm 1
"""

import argparse
import json
import math
import os
import shlex
import sys
import time
from functools import partial
from pathlib import Path

import torch

from recipes.pretrain.judge import Judge, table
from ssast_hf import SSASTConfig, SSASTFeatureExtractor
from ssast_hf.data import synth
from ssast_hf.training.flat_corpus import RATE, FlatCorpus
from ssast_hf.training.objectives import Learner, Weights, instance_norm
from ssast_hf.training.spectrogram_augmentation import Augmentation, LogMel

PEAK = 800e12  # bf16 operations a second that a large matrix product reached on an H100
WARM_UP = 0.03  # of the time
CHECKPOINT = "checkpoint.pt"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--corpus", help="what `packed unpack` was given as --output; without it, procedural sound alone")
    add("--synth", type=int, default=0, help="how many procedural sounds of 4 s to add (%(default)s)")
    add("--kinds", default="speech=0.5,music=0.25,effect=0.15,synth=0.1,other=0.3", help="shares (%(default)s)")
    add("--output_dir", type=Path, required=True, help="where the model goes")
    add(
        "--candidates",
        type=Path,
        help="a file with flags in each line: one run after another, in subfolders 0, 1, ...",
    )
    add("--tasks", help="pack of labelled tasks to judge by at the end")
    add("--judge_draws", type=int, default=3, help="(%(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(%(default)s)")
    run = made.add_argument_group("a run")
    add = run.add_argument
    add("--seconds", type=float, default=60, help="time for training, all parts of an interrupted run (%(default)s)")
    add("--max_steps", type=int, help="the schedule is by steps instead")
    add("--stop_after", type=float, help="seconds after which to save a checkpoint and leave off")
    add("--save_seconds", type=float, help="save model and checkpoint every so often")
    add("--resume", action="store_true", help="go on from the output's checkpoint")
    add("--seed", type=int, default=0, help="(%(default)s)")
    add("--encoder", choices=("visible", "whole"), default="visible", help="(%(default)s)")
    for name, value in (("mspm", 1.0), ("latent", 0.0), ("utterance", 0.0), ("clip", 1.0), ("source", 0.0)):
        add(f"--{name}", type=float, default=value, help="weight of this loss (%(default)s)")
    add("--columns", type=int, nargs="+", default=(4, 8, 16, 32), help="crops' lengths, time patches (%(default)s)")
    add("--column_shares", type=float, nargs="+", help="their shares of the steps (default: equal)")
    add("--patches", type=int, default=2**17, help="patches in a step, whatever the crops' length (%(default)s)")
    add("--most_crops", type=int, default=4096, help="in a step (%(default)s)")
    add("--max_columns", type=int, default=32, help="of the model's position embeddings (%(default)s)")
    add("--layers", type=int, default=12, help="of the encoder (%(default)s)")
    add("--decoder_layers", type=int, default=2, help="(%(default)s)")
    add("--teacher_layers", type=int, default=8, help="(%(default)s)")
    add("--target_norm", choices=("instance", "layer"), default="instance", help="(%(default)s)")
    add("--momentum", type=float, nargs=2, default=(0.99, 0.9999), help="of the teacher, first and last (%(default)s)")
    add("--temperature", type=float, default=0.1, help="(%(default)s)")
    add("--masked", type=float, default=0.75, help="share of the patches (%(default)s)")
    add("--clusters", type=int, nargs=2, default=(3, 5), help="(%(default)s)")
    add("--learning_rate", type=float, default=1e-3, help="(%(default)s)")
    add("--betas", type=float, nargs=2, default=(0.9, 0.98), help="(%(default)s)")
    add("--weight_decay", type=float, default=0.05, help="(%(default)s)")
    add("--constant", type=float, default=0.0, help="share of the time at full rate, before the cosine (%(default)s)")
    add("--clip_norm", type=float, default=3.0, help="of the gradients (%(default)s)")
    add("--speeds", type=float, nargs=2, default=(0.8, 1.25), help="playing speed, drawn (%(default)s)")
    add("--tempering", type=float, default=0.75, help="1: every second alike, 0: every recording (%(default)s)")
    add("--onsets", type=float, default=0.1, help="share of crops that start with their recording (%(default)s)")
    for name, value in (("gain", 1.0), ("tilt", 0.7), ("mix", 0.3), ("noise", 0.3)):
        add(f"--{name}", type=float, default=value, help=f"Augmentation.{name} (%(default)s)")
    add("--mean", type=float, default=-5.930731, help="(%(default)s)")
    add("--std", type=float, default=4.591004, help="(%(default)s)")
    add("--compile", action="store_true", help="compile the layers (half a minute)")
    add("--graphs", action="store_true", help="record a step of each length once and replay it (CUDA graphs)")
    add("--profile", type=int, metavar="N", help="instead of training, print where the time of N steps goes")
    add("--log_seconds", type=float, default=10, help="(%(default)s)")
    return made


def load_corpus(options: argparse.Namespace, device: torch.device) -> FlatCorpus:
    """Recordings and procedural sounds, on the device."""
    shares = {name: float(value) for name, value in (pair.split("=") for pair in options.kinds.split(","))}
    settings = {"weights": shares, "tempering": options.tempering, "onsets": options.onsets}
    extra = [(synth.pool(options.seed, options.synth, 4 * RATE, device), "synth")] if options.synth else []
    if options.corpus:
        return FlatCorpus.load(options.corpus, device, extra, **settings)
    if not extra:
        raise ValueError("expected --corpus, --synth or both")
    return FlatCorpus.of(extra[0][0], "synth", **settings)


class Run:
    """
    One model's training.

    Args:
        options: The command line.
        corpus ([`FlatCorpus`]): Crops.
        output ([`Path`]): Folder of the model.
    """

    def __init__(self, options: argparse.Namespace, corpus: FlatCorpus, output: Path):
        self.options, self.corpus, self.output = options, corpus, output
        self.device = corpus.samples.device
        cuda = self.device.type == "cuda"
        torch.manual_seed(options.seed)
        rows = 8
        config = SSASTConfig.tiny(
            max_length=16 * options.max_columns,
            num_hidden_layers=options.layers,
            position_embedding_init="sincos",
            initializer_range=0.05,
            num_mask_patches=round(options.masked * rows * options.max_columns),
            mask_cluster_min=options.clusters[0],
            mask_cluster_max=options.clusters[1],
        )
        weights = Weights(**{name: getattr(options, name) for name in Weights.__dataclass_fields__})
        self.learner = Learner(
            config,
            weights,
            options.encoder,
            options.decoder_layers,
            options.teacher_layers,
            options.target_norm,
            options.temperature,
            len(corpus.group_names),
        ).to(self.device)
        self.augment = Augmentation(options.gain, options.tilt, options.mix, noise=options.noise)
        self.log_mel = LogMel().to(self.device)
        trained = self.learner.trained()
        plain = [p for p in trained if p.ndim > 1 and p.shape[0] > 1]
        flat = [p for p in trained if not (p.ndim > 1 and p.shape[0] > 1)]
        self.optimizer = torch.optim.AdamW(
            [{"params": plain}, {"params": flat, "weight_decay": 0.0}],
            lr=torch.tensor(0.0, device=self.device) if cuda else 0.0,
            betas=tuple(options.betas),
            weight_decay=options.weight_decay,
            fused=cuda,
            capturable=cuda,
        )
        self.trained = trained
        self.momentum = torch.zeros((), device=self.device)  # the teacher's, of the step
        self.sums: dict[str, torch.Tensor] = {}
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.random = torch.Generator(self.device).manual_seed(options.seed)
        self.lengths = torch.Generator().manual_seed(options.seed)
        self.step, self.elapsed = 0, 0.0
        if options.compile:
            torch._dynamo.config.cache_size_limit = 64
            networks = [self.learner.model.ssast, self.learner.decoder, self.learner.teacher]
            for network in networks:
                for layer in [] if network is None else network.layers:
                    layer.compile(dynamic=True)
            self.learner.instance_norm = torch.compile(instance_norm, dynamic=True)
        if options.resume:
            self.restore()

    def crops(self, columns: int) -> int:
        """How many crops of so many time patches a step has: an even number."""
        rows = self.learner.config.num_frequency_patches
        return 2 * max(1, min(self.options.most_crops, self.options.patches // (rows * columns)) // 2)

    def losses(self, columns: int) -> dict[str, torch.Tensor]:
        """Draws a batch of crops of so many time patches and computes their losses."""
        options = self.options
        samples = self.log_mel.samples(16 * columns)
        with torch.no_grad():
            waveforms, recordings = self.corpus.pairs(
                self.crops(columns) // 2, samples, tuple(options.speeds), self.random
            )
            clean, noisy = self.augment(self.log_mel(waveforms), self.random)
            clean, noisy = ((mel - options.mean) / (2 * options.std) for mel in (clean, noisy))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.learner(clean, noisy, recordings, self.corpus.groups[recordings], self.random)

    def _step(self, columns: int) -> None:
        """One step of training on crops of so many time patches: every tensor that it changes stays where it is."""
        losses = self.losses(columns)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.options.clip_norm, foreach=self.device.type == "cuda")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        self.learner.update_teacher(self.momentum)
        for name, value in losses.items():
            self.sums[name].add_(value.detach())

    def _prepare(self) -> None:
        """Chooses and compiles kernels, and records the graphs, before the clock runs. Nothing is learnt by it."""
        options, cuda = self.options, self.device.type == "cuda"
        state = self.random.get_state()
        with torch.cuda.stream(torch.cuda.Stream() if cuda else None):
            for columns in options.columns:
                for _ in range(2 if cuda else 1):
                    losses = self.losses(columns)
                    losses["loss"].backward()
            self.sums = {name: torch.zeros((), device=self.device) for name in losses}
            del losses  # or nodes of this stream would be part of the graphs
            self.optimizer.zero_grad(set_to_none=False)
            if not self.optimizer.state:  # made by a step of rate 0
                self._set_rate(0.0)
                self.optimizer.step()
                for values in self.optimizer.state.values():
                    values["step"].zero_()
        self._wait()
        if options.graphs:
            pool = torch.cuda.graph_pool_handle()
            for columns in options.columns:
                graph = self.graphs[columns] = torch.cuda.CUDAGraph()
                graph.register_generator_state(self.random)
                with torch.cuda.graph(graph, pool=pool):
                    self._step(columns)
        self.random.set_state(state)
        self._wait()

    def _set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def profile(self, steps: int) -> None:
        """Prints what a step of each length takes, and which kernels take it."""
        self.learner.model.train()
        self._prepare()
        self._set_rate(self.options.learning_rate)
        for columns in self.options.columns:
            run = self.graphs[columns].replay if self.graphs else partial(self._step, columns)
            run()
            self._wait()
            began = time.perf_counter()
            for _ in range(steps):
                run()
            queued = time.perf_counter() - began
            self._wait()
            took = (time.perf_counter() - began) / steps
            rate = self.learner.flops(columns) * self.crops(columns) / took
            print(
                f"{columns / 100 * 16:g} s: {1e3 * took:.2f} ms a step, {1e3 * queued / steps:.2f} ms to queue it; "
                f"{self.crops(columns) / took:,.0f} crops/s, {rate / 1e12:.1f} TFLOP/s ({rate / PEAK:.1%})",
                flush=True,
            )
            if columns in (self.options.columns[0], self.options.columns[-1]):
                activities = [torch.profiler.ProfilerActivity.CPU]
                if self.device.type == "cuda":
                    activities.append(torch.profiler.ProfilerActivity.CUDA)
                with torch.profiler.profile(activities=activities) as profiler:
                    run()
                    self._wait()
                sort = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
                print(profiler.key_averages().table(sort_by=sort, row_limit=30, max_name_column_width=70), flush=True)

    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1."""
        if self.options.max_steps:
            return min(1.0, self.step / self.options.max_steps)
        return min(1.0, self.elapsed / self.options.seconds)

    def rate(self, fraction: float) -> float:
        """The learning rate's factor: up in a straight line, constant, then a cosine down to 0."""
        if fraction < WARM_UP:
            return (fraction + 1e-3) / (WARM_UP + 1e-3)
        start = max(WARM_UP, self.options.constant)
        return 0.5 + 0.5 * math.cos(math.pi * max(0.0, fraction - start) / (1 - start))

    def train(self) -> None:
        """Trains until the time is over, saving and reporting on the way."""
        options = self.options
        shares = torch.tensor(options.column_shares or [1.0] * len(options.columns))
        self.learner.model.train()
        started = time.perf_counter()
        self._prepare()
        print(
            f"{sum(p.numel() for p in self.trained) / 1e6:.2f} M parameters in training; crops of "
            f"{', '.join(f'{c / 100 * 16:g} s: {self.crops(c)}' for c in options.columns)} a step; "
            f"ready after {time.perf_counter() - started:.1f} s",
            flush=True,
        )
        began, before = time.perf_counter(), self.elapsed
        logged, saved = began, began
        crops, seconds, flops, steps = 0, 0.0, 0.0, 0
        while self.fraction() < 1:
            fraction = self.fraction()
            rate = options.learning_rate * self.rate(fraction)
            self._set_rate(rate)
            first, last = (1 - momentum for momentum in options.momentum)
            self.momentum.fill_(1 - first * (last / first) ** fraction)
            columns = options.columns[int(torch.multinomial(shares, 1, generator=self.lengths))]
            if columns in self.graphs:
                self.graphs[columns].replay()
            else:
                self._step(columns)
            self.step += 1
            steps += 1
            count = self.crops(columns)
            crops, seconds, flops = (
                crops + count,
                seconds + count * columns * 0.16,
                flops + count * self.learner.flops(columns),
            )
            if self.step % 8 == 0:
                self._wait()  # a queue of at most 8 steps: the clock is the GPU's, too
            now = time.perf_counter()
            self.elapsed = before + now - began
            over = options.stop_after is not None and now - began > options.stop_after
            if now - logged > options.log_seconds or over or self.fraction() >= 1:
                self._wait()
                now = time.perf_counter()
                values = {name: float(value) / steps for name, value in self.sums.items()}
                print(
                    f"{self.elapsed:6.1f} s, step {self.step}, rate {rate:.1e}: "
                    + ", ".join(f"{name} {value:.4f}" for name, value in values.items())
                    + f"; {steps / (now - logged):.1f} steps/s, {crops / (now - logged):,.0f} crops/s, "
                    f"{seconds / 3600 / (now - logged):.2f} h/s, {flops / (now - logged) / 1e12:.1f} TFLOP/s "
                    f"({flops / (now - logged) / PEAK:.1%})",
                    flush=True,
                )
                if not math.isfinite(values["loss"]):
                    raise FloatingPointError("the loss is not a number: lower --learning_rate")
                logged, crops, seconds, flops, steps = now, 0, 0.0, 0.0, 0
                torch._foreach_zero_(list(self.sums.values()))
            if options.save_seconds and now - saved > options.save_seconds:
                self.save(checkpoint=True)
                saved = time.perf_counter()
            if over:
                break
        self.save(checkpoint=options.stop_after is not None or bool(options.save_seconds))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def save(self, checkpoint: bool = False) -> None:
        """Writes model (float16) and feature extractor; with `checkpoint`, also what going on needs."""
        self.output.mkdir(parents=True, exist_ok=True)
        model = self.learner.model
        halves = {name: value.detach().half().cpu() for name, value in model.state_dict().items()}
        with torch.device("meta"):
            shell = type(model)(model.config)
        shell = shell.half()
        shell.load_state_dict(halves, assign=True)
        shell.save_pretrained(self.output)
        SSASTFeatureExtractor(
            max_length=model.config.max_length,
            mean=self.options.mean,
            std=self.options.std,
            return_attention_mask=True,
        ).save_pretrained(self.output)
        settings = {
            name: str(value) if isinstance(value, Path) else value for name, value in vars(self.options).items()
        }
        record = {"step": self.step, "seconds": round(self.elapsed, 1), "options": settings}
        (self.output / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        if checkpoint:
            state = {
                "learner": self.learner.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": self.random.get_state(),
                "lengths": self.lengths.get_state(),
                "step": self.step,
                "elapsed": self.elapsed,
            }
            torch.save(state, self.output / f"{CHECKPOINT}.partial")
            os.replace(self.output / f"{CHECKPOINT}.partial", self.output / CHECKPOINT)

    def restore(self) -> None:
        """Goes on where the checkpoint left off."""
        state = torch.load(self.output / CHECKPOINT, map_location=self.device, weights_only=True)
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.set_state(state["random"].cpu())
        self.lengths.set_state(state["lengths"].cpu())
        self.step, self.elapsed = state["step"], state["elapsed"]


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(argv)
    device = torch.device(options.device)
    if options.graphs and device.type != "cuda":
        raise ValueError(f"--graphs records CUDA graphs; found --device {options.device}")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.conv.fp32_precision = "tf32"
    started = time.perf_counter()
    corpus = load_corpus(options, device)
    print(
        f"corpus: {', '.join(f'{hours:.2f} h {kind}' for kind, hours in corpus.hours.items())}, "
        f"{len(corpus.group_names)} sources, on {device} after {time.perf_counter() - started:.1f} s",
        flush=True,
    )
    judge = None
    if options.tasks:
        judge = Judge(options.tasks, device, options.judge_draws)
        print(f"tasks: {', '.join(judge.tasks)}; after {time.perf_counter() - started:.1f} s", flush=True)
        print(table(judge.baseline()), flush=True)
    runs = [("model", " ".join(argv), options)]
    if options.candidates:
        lines = [line for line in options.candidates.read_text().splitlines() if line.strip() and line[0] != "#"]
        runs = [
            (str(number), line, parser().parse_args([*argv, *shlex.split(line)])) for number, line in enumerate(lines)
        ]
    failed = 0
    for name, line, own in runs:
        print(f"== {name}: {line}", flush=True)
        output = own.output_dir / name if options.candidates else own.output_dir
        corpus.configure(
            **{key: getattr(own, key) for key in ("tempering", "onsets")},
            weights={k: float(v) for k, v in (pair.split("=") for pair in own.kinds.split(","))},
        )
        try:
            run = Run(own, corpus, output)
            if own.profile:
                run.profile(own.profile)
                continue
            run.train()
        except (RuntimeError, FloatingPointError) as error:  # of one candidate; the others shall have their turn
            if not options.candidates:
                raise
            print(f"{name} failed: {error}", flush=True)
            failed += 1
            continue
        if judge is not None:
            began = time.perf_counter()
            layers = [layer for layer in (4, 6, 8, 10, 12) if layer <= own.layers] or [own.layers]
            with torch.random.fork_rng(devices=[]):
                found = judge.judge(name, run.learner.model.ssast, own.mean, own.std, layers)
            print(table(found, best=3), flush=True)
            (output / "judged.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
            print(f"judged in {time.perf_counter() - began:.1f} s", flush=True)
        del run
    if judge is not None and options.candidates:
        print(table(judge.found, best=8), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
