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

# `make quick` leaves out these: modules, by the names of their files, and single tests that train, or take more than
# two seconds for another reason. Those of the Hub convert, push and load models of full size.
SLOW_MODULES = {
    "test_batching", "test_classify_output", "test_code_beside", "test_demo_page", "test_distributed",
    "test_family", "test_finetuning", "test_folds", "test_frozen", "test_hostile_names", "test_load",
    "test_measuring", "test_modeling_ssast", "test_notebooks", "test_one_gpu", "test_onnx", "test_parquet",
    "test_push", "test_random_cases", "test_ray", "test_ray_train", "test_resumable_trainer", "test_resume",
    "test_server", "test_spark", "test_terminal", "test_torch_export", "test_training", "test_training_logs",
    "test_types",
}  # fmt: skip
SLOW_TESTS = {
    "test_a_closed_pipe_is_no_error",
    "test_a_compiled_model_computes_the_same",
    "test_a_difference_is_told_with_member_found_and_expected",
    "test_a_folder_of_official_files_is_converted",
    "test_a_full_disk_is_one_line_and_leaves_no_half_file",
    "test_a_full_disk_leaves_the_target_as_it_was",
    "test_a_full_disk_under_standard_output_is_one_line",
    "test_a_long_sound_of_one_visitor_does_not_keep_another_waiting",
    "test_a_machine_without_apt_gets_status_3_and_one_line",
    "test_a_private_member_that_is_not_listed_is_found",
    "test_a_recipe_runs_from_the_archive_to_the_results",
    "test_a_seed_gives_a_mask_again_and_another_another",
    "test_accelerates_fsdp_trains_as_two_processes_do",
    "test_arrays_and_rows_of_datasets_are_sounds_too",
    "test_blocks_run_as_they_stand",
    "test_bytes_are_sound_or_a_value_error",
    "test_classify_goes_on_past_unreadable_files",
    "test_ctrl_c_leaves_lines_that_say_they_are_partial_and_the_same_command_goes_on",
    "test_every_patch_is_masked_about_as_often",
    "test_every_private_member_in_use_is_listed",
    "test_every_way_of_giving_other_fields_loads_the_same_model",
    "test_filterbank_equals_the_original_bit_for_bit_where_the_fft_does",
    "test_finetuning_equals_the_original",
    "test_formats_hold_the_same_labels",
    "test_hostile_file_names_are_one_line_and_come_back",
    "test_import_is_lazy_and_registers_all_the_same",
    "test_importing_transformers_first_registers_too",
    "test_inductor_computes_the_same",
    "test_inductor_trains_on_batches_of_other_sizes_and_lengths",
    "test_names_of_255_bytes",
    "test_neighbours_are_as_alike_as_the_official_samplers",
    "test_nothing_is_overwritten_and_what_is_missing_is_named",
    "test_one_graph_takes_clips_of_other_lengths",
    "test_pretraining_and_embedding_take_it",
    "test_processes_launched_together_share_the_collection",
    "test_pushing_branching_and_downloading",
    "test_remote_code_adapts_where_the_package_is_missing",
    "test_saved_models_name_pipelines_for_where_the_package_is_missing",
    "test_short_clips_have_patches_enough",
    "test_ssast_classify_needs_no_model",
    "test_terminals_that_are_not_utf_8_get_escapes",
    "test_the_checkpoint_fills_in_sounds_it_has_not_heard",
    "test_the_feature_pipeline_can_be_what_is_imported_first",
    "test_the_output_of_the_first_command_is_what_it_prints",
    "test_the_picture_is_drawn_by_its_script",
    "test_the_space_runs_where_it_is_copied",
    "test_the_tables_of_checkpoints_are_those_of_the_code",
    "test_the_way_back_to_an_official_file_is_byte_equal",
    "test_training_judges_whole_clips_as_evaluation_does",
    "test_up_to_100_ms_more_of_the_same_sound_change_no_score_by_more_than_a_twentieth",
    "test_verification_of_a_conversion_passes_and_can_fail",
}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in SLOW_MODULES)  # first, so that no worker ends long after another
    for item in items:
        slow = item.path.stem in SLOW_MODULES or getattr(item, "originalname", None) in SLOW_TESTS
        if slow or "base-" in item.name:  # models of base size
            item.add_marker(pytest.mark.slow)


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
