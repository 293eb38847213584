# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
import os
import signal
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import pytest
import soundfile
import torch
from transformers.utils import logging

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining

# A shell has its background jobs ignore Ctrl-C, and so would what the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `make quick` leaves out these: modules, by the names of their files, and single tests that train or take long. Those
# of the Hub convert, push and load models of full size.
TRAINING_MODULES = {
    "test_types", "test_classify_output", "test_outputs",
    "test_distributed", "test_finetuning", "test_notebooks", "test_ray", "test_ray_train", "test_resume", "test_spark",
    "test_training",
    "test_measuring", "test_resumable_trainer", "test_training_logs", "test_family", "test_load", "test_push",
}  # fmt: skip
TRAINING_TESTS = {
    "test_a_recipe_runs_from_the_archive_to_the_results", "test_blocks_run_as_they_stand",
    "test_accelerates_fsdp_trains_as_two_processes_do",
    "test_the_picture_is_drawn_by_its_script", "test_pretraining_and_embedding_take_it",
    "test_a_full_disk_is_one_line_and_leaves_no_half_file", "test_a_full_disk_under_standard_output_is_one_line",
    "test_the_space_runs_where_it_is_copied", "test_the_output_of_the_first_command_is_what_it_prints",
    "test_a_folder_of_official_files_is_converted", "test_a_machine_without_apt_gets_status_3_and_one_line",
    "test_ctrl_c_leaves_lines_that_say_they_are_partial_and_the_same_command_goes_on", "test_names_of_255_bytes",
    "test_terminals_that_are_not_utf_8_get_escapes", "test_the_feature_pipeline_can_be_what_is_imported_first",
}  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in TRAINING_MODULES or getattr(item, "originalname", None) in TRAINING_TESTS:
            item.add_marker(pytest.mark.training)


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}


@pytest.fixture(autouse=True)
def verbosity():
    """Commands run in this process quieten transformers; the next test shall hear its warnings again."""
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    loading = logging.get_logger("transformers.modeling_utils")
    filters = list(loading.filters)
    yield
    loading.filters[:] = filters
    logging.set_verbosity(before[0])
    (logging.enable_progress_bar if before[1] else logging.disable_progress_bar)()


@pytest.fixture
def config() -> SSASTConfig:
    """A tiny model: 24 bins x 40 frames in patches of 4 x 4, F = 6, T = 10."""
    return SSASTConfig(
        **SMALL, num_mel_bins=24, max_length=40, frequency_patch_size=4, time_patch_size=4, num_mask_patches=40
    )


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """`classifier` and `pretrained`, small, random, of 64 frames."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=64, id2label={0: "drum", 1: "voice", 2: "rest"},
                         label2id={"drum": 0, "voice": 1, "rest": 2})  # fmt: skip
    for name, model in (
        ("classifier", SSASTForAudioClassification(config)),
        ("pretrained", SSASTForPreTraining(config)),
    ):
        model.save_pretrained(folder / name)
        SSASTFeatureExtractor(max_length=64, return_attention_mask=True).save_pretrained(folder / name)
    return folder


@pytest.fixture
def sounds(tmp_path) -> Path:
    """Short, long, stereo, 44.1 kHz and unreadable files."""
    folder = tmp_path / "my sounds"
    folder.mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(folder / "long.wav", 0.1 * rng.standard_normal(5 * 16000), 16000)
    soundfile.write(folder / "short.flac", 0.1 * rng.standard_normal(900), 16000)
    soundfile.write(folder / "stereo.ogg", 0.1 * rng.standard_normal((44100, 2)), 44100)
    soundfile.write(folder / "too short.wav", np.zeros(100), 16000)
    (folder / "broken.wav").write_bytes(b"RIFF nonsense")
    return folder
