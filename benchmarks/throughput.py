# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Clips per second and model FLOP utilisation (MFU) of pretraining steps on this machine's accelerator, or its processor:
masks, both losses, forward, backward and AdamW, on one batch in memory.

    python -m benchmarks.throughput --size base --batch_size 64 --bf16 --compile --peak_tflops 989

MFU is the share of the processor's peak that the model's matrix products take, forward and backward, as torch's
FlopCounterMode counts them in plain attention; what a kernel computes twice to save memory does not count. 989 TFLOP/s
is the dense bf16 peak of an H100 SXM by its data sheet.
"""

import argparse
import sys
import time
from contextlib import nullcontext
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from recipes.report import machine
from ssast_hf import SSASTConfig, SSASTForPreTraining


def flops_per_clip(config: SSASTConfig, frames: int) -> int:
    """FLOP of a step's matrix products for one clip: a multiplication and an addition are two."""
    model = SSASTForPreTraining(config).train()
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, frames, config.num_mel_bins)).loss.backward()
    return counter.get_total_flops()


def step_seconds(
    config: SSASTConfig, batch_size: int, frames: int, device: torch.device, bf16: bool, compiled: bool, steps: int
) -> list[float]:
    """Seconds of each of `steps` steps, after three that warm up."""
    model = SSASTForPreTraining(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    forward = torch.compile(model) if compiled else model
    input_values = torch.randn(batch_size, frames, config.num_mel_bins, device=device)
    wait = torch.accelerator.synchronize if device.type != "cpu" else lambda: None
    seconds = []
    for _ in range(3 + steps):
        wait()
        start = time.perf_counter()
        mask = model.sample_masks(input_values)
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            loss = forward(input_values, bool_masked_pos=mask).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        wait()
        seconds.append(time.perf_counter() - start)
    return seconds[3:]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--size", choices=("tiny", "small", "base"), default="base")
    parser.add_argument("--patches", choices=("patch", "frame"), default="patch")
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default=str(torch.accelerator.current_accelerator() or "cpu"))
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--peak_tflops", type=float, help="of the processor in this precision; without it, no MFU")
    arguments = parser.parse_args()
    config = getattr(SSASTConfig, arguments.size)(patches=arguments.patches, max_length=arguments.frames)
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    flops = flops_per_clip(config, arguments.frames)
    seconds = step_seconds(
        config, arguments.batch_size, arguments.frames, device, arguments.bf16, arguments.compile, arguments.steps
    )
    clips_per_second = arguments.batch_size / median(seconds)
    tflops = clips_per_second * flops / 1e12
    name = machine() if device.type == "cpu" else torch.cuda.get_device_name(device)
    share = f", MFU {tflops / arguments.peak_tflops:.1%}" if arguments.peak_tflops else ""
    print(
        f"{name}: {arguments.size}, {arguments.patches}-based, {arguments.batch_size} x {arguments.frames} frames, "
        f"{'bf16' if arguments.bf16 else 'float32'}{', compiled' if arguments.compile else ''}: "
        f"{clips_per_second:.1f} clips a second, {flops / 1e9:.1f} GFLOP a clip, {tflops:.2f} TFLOP/s{share}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
