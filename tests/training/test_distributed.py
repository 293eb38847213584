# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Training in two processes on this machine's CPU, against one process with the same global batch."""

import json

import pytest
import torch

from ssast_hf import SSASTForAudioClassification, SSASTForPreTraining

from .two_processes import PRETRAINING, curve, labelled_data, start, wait


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
@pytest.mark.parametrize(
    "what, sharded, flags",
    [
        ("pretrain", True, ""),
        ("finetune", True, "--balanced_sampling True --class_weights True --head_lr_factor 10 --lr_decay_start 1"),
        ("finetune", False, "--mixup 0.5 --time_mask 8 --average_epochs 1 2 --loss bce"),
    ],
    ids=["pretrained", "balanced", "averaged"],
)
def test_two_processes_train_as_one_with_the_same_global_batch(tmp_path, what, sharded, flags):
    """
    Losses, gradient norms, evaluation and weights, by DDP and with sharded weights (FSDP2), there also of a run that
    goes on from a checkpoint. Sound seen counts both processes' clips, each once an epoch.
    """
    data = [*(PRETRAINING if what == "pretrain" else labelled_data(tmp_path)), *flags.split()]
    names = ["one", "two", *(["sharded"] if sharded else [])]
    running = [start(what, 1 + bool(number), 2 if number else 4, tmp_path / name, *data, fsdp=name == "sharded")
               for number, name in enumerate(names)]  # fmt: skip
    for processes in running:
        wait(processes)
    if sharded:
        resume = ["--resume_from_checkpoint", tmp_path / "sharded" / "checkpoint-2"]
        wait(start(what, 2, 2, tmp_path / "resumed", *data, *resume, fsdp=True))
        names += ["resumed", *(["sharded/checkpoint-4"] if what == "pretrain" else [])]  # else the best is the last
    expected = curve(tmp_path / "one")
    assert len(expected) == 4 + (3 if what == "pretrain" else 2)
    for name in (name for name in names if "checkpoint" not in name):
        found = curve(tmp_path / name)
        assert len(found) == len(expected)
        for entry, other in zip(expected, found):
            assert other == pytest.approx(entry, rel=1e-4), name
    cls = SSASTForPreTraining if what == "pretrain" else SSASTForAudioClassification
    weights = {name: cls.from_pretrained(tmp_path / name).state_dict() for name in names}
    for key, value in weights["one"].items():
        for name in names:
            torch.testing.assert_close(weights[name][key], value, rtol=0, atol=1e-4, msg=f"{key} of {name}")
    record = json.loads((tmp_path / "two" / "_run.json").read_text())
    assert record["processes"] == 2 and record["finished"] is True
    if what == "finetune":  # judged by one process, the other waits
        assert len((tmp_path / "two" / "eval_predictions.csv").read_text().splitlines()) == 1 + 3


def test_no_clip_comes_twice_in_an_epoch():
    """accelerate's own sharding of the batches of one order, as the Trainer sets it up."""
    from accelerate.data_loader import prepare_data_loader
    from torch.utils.data import DataLoader

    from ssast_hf.data.reader import Reader
    from ssast_hf.data.skipped import Skipped
    from ssast_hf.data.sources import Clip, Source
    from ssast_hf.training.crops import Crops, EpochSampler

    crops = Crops([Source("s", [Clip(str(i)) for i in range(50)])], 400, Reader(16000, Skipped()), 0, 400)
    for epoch in range(3):
        seen, batches = [], []
        for rank in range(3):
            sampler = EpochSampler(crops, 4 * 3, seed=0)
            sampler.set_epoch(epoch)
            loader = DataLoader(crops, batch_size=4, sampler=sampler)
            sharded = prepare_data_loader(loader, num_processes=3, process_index=rank, put_on_device=False)
            own = list(sharded.batch_sampler)
            batches.append(len(own))
            seen += [number for batch in own for _, number in batch]
        assert batches == [4, 4, 4]
        assert len(seen) == len(set(seen)) == 48
