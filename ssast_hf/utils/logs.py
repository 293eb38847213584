# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What transformers and other libraries say while a command runs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .text import printable

# Read by huggingface_hub and datasets when they are imported.
PROGRESS_SWITCHES = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")


class _Escaped(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage()), ()
        return True


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, whose messages are one line without control characters, whatever files are named."""
    logger = logging.getLogger(name)
    if not any(isinstance(entry, _Escaped) for entry in logger.filters):
        logger.addFilter(_Escaped())
    return logger


def without_bars() -> None:
    """Switches off the progress bars of libraries that are not yet imported, for output that is no terminal."""
    for name in PROGRESS_SWITCHES:
        os.environ.setdefault(name, "1")


def quieten() -> None:
    """Silences transformers' warnings and progress bars, for commands that report on a checkpoint themselves."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


class _NoLoadReport(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in str(record.msg)


def hide_load_reports() -> None:
    """Hides transformers' table of weights that a checkpoint lacks; [`new_parts`] says in a sentence what is new."""
    logger = logging.getLogger("transformers.modeling_utils")
    if not any(isinstance(entry, _NoLoadReport) for entry in logger.filters):
        logger.addFilter(_NoLoadReport())


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hides the table of weights and the progress bar of `from_pretrained`, where missing weights are an error."""
    from transformers.utils import logging as transformers_logging

    logger, report = logging.getLogger("transformers.modeling_utils"), _NoLoadReport()
    shown = transformers_logging.is_progress_bar_enabled()
    logger.addFilter(report)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.removeFilter(report)
        if shown:
            transformers_logging.enable_progress_bar()


def new_parts(loading_info: dict) -> list[str]:
    """
    What has new random weights in a model: heads such as `classifier`, and single weights of the encoder.

    Args:
        loading_info (`dict`): What `from_pretrained(..., output_loading_info=True)` returns beside the model.
    """
    names = {*loading_info["missing_keys"], *(entry[0] for entry in loading_info["mismatched_keys"])}
    return sorted({name if name.startswith("ssast.") else name.split(".")[0] for name in names})
