# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The private members of transformers that this package depends on.

transformers may change them in any release. Code that can stand alone stands here; members that subclasses override
are listed in tables. `tests/utils/test_transformers_internals.py` compares the tables with the installed transformers
and finds private members that are used and not listed. This module imports transformers only inside functions, because
`import ssast_hf` imports it.
"""

from types import ModuleType
from typing import Any

TRAINER = "transformers.trainer:Trainer"
PARSER = "transformers.hf_argparser:HfArgumentParser"
MAPPING = "transformers.models.auto.auto_factory:_LazyAutoMapping"
MODEL = "transformers.modeling_utils:PreTrainedModel"
CONFIG = "transformers.configuration_utils:PreTrainedConfig"
PIPELINE = "transformers.pipelines.base:Pipeline"
REGISTRY = "transformers.pipelines.base:PipelineRegistry"
EARLY_STOPPING = "transformers.trainer_callback:EarlyStoppingCallback"

# Methods that this package overrides or calls, and the names of their parameters without `self`. A public method is
# listed where an override states its parameters.
METHODS: dict[tuple[str, str], tuple[str, ...]] = {
    # Overridden by training/resumable_trainer.py, pretrainer.py, tuning.py and card.py.
    (TRAINER, "_run_epoch"): (
        "model", "epoch", "train_dataloader", "steps_in_epoch", "num_update_steps_per_epoch", "trial",
        "ignore_keys_for_eval", "start_time", "resume_from_checkpoint", "epochs_trained",
        "steps_trained_in_current_epoch",
    ),
    (TRAINER, "_save_checkpoint"): ("model", "trial"),
    (TRAINER, "_push_from_checkpoint"): ("checkpoint_folder",),
    (TRAINER, "save_model"): ("output_dir", "_internal_call"),
    (TRAINER, "train"): ("resume_from_checkpoint", "trial", "ignore_keys_for_eval"),
    (TRAINER, "log"): ("logs", "start_time"),
    (TRAINER, "compute_loss"): ("model", "inputs", "return_outputs", "num_items_in_batch"),
    (TRAINER, "floating_point_ops"): ("inputs",),
    (TRAINER, "create_optimizer"): ("model",),
    (TRAINER, "create_scheduler"): ("num_training_steps", "optimizer"),
    (TRAINER, "get_train_dataloader"): (),
    (TRAINER, "get_eval_dataloader"): ("eval_dataset",),
    (TRAINER, "get_batch_samples"): ("epoch_iterator", "num_batches", "device"),
    (TRAINER, "training_step"): ("model", "inputs", "num_items_in_batch"),
    (TRAINER, "evaluation_loop"): (
        "dataloader", "description", "prediction_loss_only", "ignore_keys", "metric_key_prefix",
    ),
    (TRAINER, "init_hf_repo"): ("token", "private"),
    # Overridden and called by training/arguments.py.
    (PARSER, "_add_dataclass_arguments"): ("dtype",),
    (PARSER, "_parse_dataclass_field"): ("parser", "field"),
    # Overridden by integrations/pipelines.py.
    (PIPELINE, "_forward"): ("input_tensors", "forward_parameters"),
    (PIPELINE, "preprocess"): ("input_", "preprocess_parameters"),
    (PIPELINE, "postprocess"): ("model_outputs", "postprocess_parameters"),
    # Overridden by modeling_ssast.py.
    (MODEL, "_init_weights"): ("module",),
}  # fmt: skip

# Attributes that this package reads or sets. Each is set in the class or by one of its methods.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    EARLY_STOPPING: ("early_stopping_patience", "early_stopping_patience_counter"),
    MAPPING: ("_config_mapping", "_reverse_config_mapping", "_model_mapping", "_modules"),
    REGISTRY: ("supported_tasks",),
    PIPELINE: ("_load_tokenizer", "_load_feature_extractor"),
    CONFIG: ("_name_or_path",),
    MODEL: (
        "_no_split_modules", "_supports_sdpa", "_supports_flash_attn", "_supports_flex_attn",
        "_supports_attention_backend", "_can_compile_fullgraph", "_can_record_outputs",
        "_keys_to_ignore_on_load_unexpected",
    ),
}  # fmt: skip


def add_models(model_type: str, config_name: str, package: ModuleType, models: dict[str, str]) -> None:
    """
    Adds a model type to the tables behind `AutoModel` and its kin, by the names of its classes.

    `AutoModel.register` needs the classes, and importing them would be circular where their own import imported
    transformers' Auto classes. The tables import a class when it is first asked for.

    Args:
        model_type (`str`): As in `config.json`.
        config_name (`str`): Name of the configuration's class.
        package (`ModuleType`): Has the model classes as attributes.
        models (`dict[str, str]`): Name of a table in `modeling_auto`, such as `"MODEL_MAPPING"` -> name of a class.
    """
    from transformers.models.auto import modeling_auto

    for table, name in models.items():
        mapping = getattr(modeling_auto, table)
        mapping._config_mapping[model_type] = config_name
        mapping._reverse_config_mapping[config_name] = model_type
        mapping._model_mapping[model_type] = name
        mapping._modules[model_type] = package


def replace_pipeline_class(task: str, pipeline_class: type) -> None:
    """
    Makes `pipeline(task)` call another class, and leaves the task's models and defaults as they are.

    `PIPELINE_REGISTRY.register_pipeline` would need all of them again, and would warn that the task exists.
    """
    from transformers.pipelines import PIPELINE_REGISTRY

    tasks: dict[str, Any] = PIPELINE_REGISTRY.supported_tasks
    tasks[task] = {**tasks[task], "impl": pipeline_class}
