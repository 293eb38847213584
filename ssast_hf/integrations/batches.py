# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Embeddings and labels of tables with sound, batch by batch: for `datasets.map`, Ray Data and Spark."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoints.loading import load_complete
from ..data.clips import Clip, encoded
from ..inference.classify import classify, load_classifier
from ..inference.collections import row_size
from ..inference.devices import load_on_device
from ..inference.embed import check_layers, check_pooling, embed
from ..modeling_ssast import SSASTModel
from ..utils.require import first_line

SOUND_COLUMNS = ("audio", "path")  # whichever comes first
IMPORTED_IN = os.getpid()

Columns = MutableMapping[str, Any]


class _Batches:
    """What [`Embedder`] and [`Classifier`] share. The model is loaded at the first batch, and is not pickled."""

    added: tuple[str, ...] = ()

    def __init__(
        self, model_name: str | os.PathLike, column: str | None, batch_size: int, device: str | None, prefix: str
    ):
        self.model_name, self.column, self.batch_size = os.fspath(model_name), column, batch_size
        self.device, self.prefix = device, prefix
        self.loaded: tuple | None = None  # (feature extractor, model)

    def __getstate__(self) -> dict:
        # `datasets` takes a hash of this as the key of its cache: a checkpoint that was written anew is another one.
        files = sorted(Path(self.model_name).glob("*.*")) if os.path.isdir(self.model_name) else []
        written = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
        return {**self.__dict__, "loaded": None, "written": written}

    def __call__(self, batch: Columns | None = None):
        if batch is None:
            self.load()
            return self.predict
        column = self._sound_column(batch)
        names = [self.prefix + name for name in self.added]
        if taken := [name for name in names if name in batch]:
            raise ValueError(
                f"found {', '.join(taken)} among the columns, which would be replaced: rename it, or give `prefix=`."
            )
        # Read from a copy: `datasets` writes anew the columns of its own batch that were read, and of the result.
        values, result = copy.copy(batch)[column], copy.copy(batch)
        for name, values_of in self.predict(values).items():
            result[self.prefix + name] = values_of
        return result

    def _sound_column(self, batch: Columns) -> str:
        names = SOUND_COLUMNS if self.column is None else (self.column,)
        for name in names:
            if name in batch:
                return name
        raise ValueError(
            f"found the columns {', '.join(batch)}, expected {' or '.join(names)}: name it with `column=`."
        )

    def load(self) -> tuple:
        """The feature extractor and the model, loaded once."""
        if self.loaded is None:
            if os.getpid() != IMPORTED_IN:  # a fork, as those of `num_proc=`: OpenMP's threads would wait for ever
                torch.set_num_threads(1)
            self.loaded = load_on_device(self.model_name, self._load_model, self.device)
        return self.loaded

    def predict(self, sounds: Iterable) -> dict[str, np.ndarray]:
        """The columns that are added, of the values of a column of sounds."""
        extractor, model = self.load()
        results = [result for _, result in self._run(model, extractor, [_source(value) for value in sounds])]
        errors = [str(result) if isinstance(result, Exception) else "" for result in results]
        columns = self._columns(model, [None if error else result for result, error in zip(results, errors)])
        return {**columns, "error": np.array(errors, dtype=object)}

    _load_model: Callable
    _run: Callable
    _columns: Callable


class Embedder(_Batches):
    """
    Adds the embeddings of a table's sounds: a batch of columns in, the same and more columns out. They are those of
    [`embed`] and `ssast embed`.

    The sound stands in the column `audio` or, without one, `path`. A value is the path of a file or a URL that fsspec
    opens (`s3://`, `gs://`, `hf://`, ...), the bytes of an encoded file, what `datasets` gives (`{"array",
    "sampling_rate"}`, `{"bytes", "path"}`), or torchcodec's `AudioDecoder`. Other sampling rates are resampled.

    - `table.map(Embedder("NAME"), batched=True)` of `datasets`.
    - `table.map_batches(Embedder, fn_constructor_args=["NAME"], batch_size=64, compute=ActorPoolStrategy(size=4),
      num_gpus=1)` of Ray Data: four actors, each of which loads the model once.
    - `predict_batch_udf(Embedder("NAME"), return_type=..., batch_size=64)` of Spark: called without a batch, it loads
      the model and returns what a worker calls with a column.

    Args:
        model_name (`str`): A name, directory or Hub repository that every worker can load. It is loaded at the first
            batch.
        column (`str`, *optional*): The column with the sound. Default: `audio`, else `path`.
        batch_size (`int`, defaults to 16): Windows per forward pass.
        device (`str`, *optional*): Default: a GPU, if there is one.
        layers (`list[int]`, *optional*), pooling (`str`, *optional*): As for [`embed`].
        prefix (`str`, defaults to `""`): What the names of the added columns begin with.

    Returns:
        The columns of the batch, and `embeddings` (rows, size), float32, and `error`: `""`, or why the row's sound
        cannot be read. The embedding of such a row is NaN. Every batch has the same types, as tables require.

    Raises:
        ValueError: There is no column with sound, or a column to be added is there already; or an argument is wrong.
    """

    added = ("embeddings", "error")

    def __init__(
        self,
        model_name: str | os.PathLike,
        column: str | None = None,
        batch_size: int = 16,
        device: str | None = None,
        layers: Iterable[int] | None = None,
        pooling: str | None = None,
        prefix: str = "",
    ):
        super().__init__(model_name, column, batch_size, device, prefix)
        self.layers, self.pooling = None if layers is None else list(layers), pooling
        check_pooling(pooling, "clip")

    _load_model = staticmethod(partial(load_complete, SSASTModel))

    def _run(self, model, extractor, sounds):
        layers = check_layers(self.layers, model.config.num_hidden_layers)
        return embed(model.eval(), extractor, sounds, batch_size=self.batch_size, layers=layers, pooling=self.pooling)

    def _columns(self, model, results: list[dict | None]) -> dict[str, np.ndarray]:
        embeddings = np.full((len(results), row_size(model.config, "clip", self.pooling)), np.nan, np.float32)
        for row, result in enumerate(results):
            if result is not None:
                embeddings[row] = result["embeddings"]
        return {"embeddings": embeddings}


class Classifier(_Batches):
    """
    Adds the labels of a table's sounds, as [`Embedder`] adds embeddings. They are those of [`classify`] and `ssast
    classify`.

    Args:
        model_name (`str`): A fine-tuned checkpoint; as for [`Embedder`].
        column, batch_size, device, prefix: As for [`Embedder`].
        top_k (`int`, defaults to 3): Labels for each row, at most as many as the model has.
        window (`float`, *optional*), hop (`float`, *optional*), aggregate (`str`): As for [`classify`].

    Returns:
        The columns of the batch, and `labels` (rows, top_k), the best first, `scores` (rows, top_k), float32, and
        `error`: `""`, or why the row's sound cannot be read. Such a row has the labels `""` and the scores NaN.

    Raises:
        ValueError: As for [`Embedder`], or the checkpoint has no classifier.
    """

    added = ("labels", "scores", "error")

    def __init__(
        self,
        model_name: str | os.PathLike,
        column: str | None = None,
        batch_size: int = 16,
        device: str | None = None,
        top_k: int = 3,
        window: float | None = None,
        hop: float | None = None,
        aggregate: str = "mean",
        prefix: str = "",
    ):
        super().__init__(model_name, column, batch_size, device, prefix)
        if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
            raise ValueError(f"`top_k` is {top_k!r}, expected a whole number of at least 1.")
        self.top_k, self.window, self.hop, self.aggregate = top_k, window, hop, aggregate

    _load_model = staticmethod(load_classifier)

    def _run(self, model, extractor, sounds):
        return classify(model, extractor, sounds, self.batch_size, self.window, self.hop, self.aggregate)

    def _columns(self, model, results: list[dict | None]) -> dict[str, np.ndarray]:
        shape = (len(results), min(self.top_k, model.config.num_labels))
        labels, scores = np.full(shape, "", object), np.full(shape, np.nan, np.float32)
        for row, result in enumerate(results):
            if result is not None:
                labels[row], scores[row] = zip(*list(result.items())[: self.top_k])
        return {"labels": labels, "scores": scores}


def _source(value):
    """What [`embed`] and [`classify`] take, of a value of a column."""
    if hasattr(value, "get_all_samples") or (isinstance(value, Mapping) and value.get("array") is not None):
        return value
    path = value.get("path") if isinstance(value, Mapping) else value
    name = os.fsdecode(path) if isinstance(path, (str, os.PathLike)) else "the audio"
    return Clip(name, member=_Encoded(value))


class _Encoded:
    """The bytes, path or URL of a sound, read like a file."""

    def __init__(self, value):
        self.value = value

    def open(self) -> str | bytes:
        """What `load_audio` takes. Raises ValueError for what is no sound, or a URL that cannot be read."""
        found = encoded(os.fspath(self.value) if isinstance(self.value, os.PathLike) else self.value)
        return _read_url(found) if isinstance(found, str) and "://" in found else found


def _read_url(url: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            return file.read()
    except ImportError:  # the package for this kind of URL is missing: no row can be read
        raise
    except Exception as error:  # each kind of store has errors of its own
        raise ValueError(f"{url} cannot be read: {first_line(error)}") from error
