# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Spark's `predict_batch_udf` takes `Embedder` and `Classifier` as they are. `make clients` runs this."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from ssast_hf.integrations.batches import Classifier, Embedder

pyspark = pytest.importorskip("pyspark", reason="pip install pyspark (make clients)")
if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
    pytest.skip("Spark needs a Java runtime: apt install default-jre-headless", allow_module_level=True)

ROOT = Path(__file__).parents[2]
NAMES = ("broken.wav", "long.wav", "short.flac", "stereo.ogg", "too short.wav")
EMBEDDED = "embeddings array<float>, error string"
LABELLED = "labels array<string>, scores array<float>, error string"


@pytest.fixture(scope="module")
def spark():
    """Two workers, which find this package and its tests by the environment."""
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
        yield session
        session.stop()


@pytest.mark.parametrize("column", ["path", "bytes"])
def test_embeddings_of_a_column_of_paths_or_bytes(spark, checkpoints, sounds, column):
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import StructType

    files = [str(sounds / name) for name in NAMES]
    expected = Embedder(checkpoints / "pretrained")({"path": files})
    embedder, kind = Embedder(checkpoints / "pretrained"), StructType.fromDDL(EMBEDDED)
    embedding = predict_batch_udf(embedder, return_type=kind, batch_size=2)
    values = [(name, file if column == "path" else Path(file).read_bytes()) for name, file in zip(NAMES, files)]
    table = spark.createDataFrame(values, ["name", "sound"]).repartition(2)
    rows = {row["name"]: row["found"] for row in table.select("name", embedding("sound").alias("found")).collect()}
    assert rows.keys() == set(NAMES)
    for index, name in enumerate(NAMES):
        found = np.array(rows[name]["embeddings"], np.float32)
        np.testing.assert_allclose(found, expected["embeddings"][index], rtol=0, atol=1e-5)
        assert bool(rows[name]["error"]) == bool(expected["error"][index]) == (name in (NAMES[0], NAMES[-1]))


def test_labels(spark, checkpoints, sounds):
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import StructType

    files = [str(sounds / name) for name in NAMES]
    expected = Classifier(checkpoints / "classifier", top_k=2)({"path": files})
    classifier, kind = Classifier(checkpoints / "classifier", top_k=2), StructType.fromDDL(LABELLED)
    labels = predict_batch_udf(classifier, return_type=kind, batch_size=16)
    table = spark.createDataFrame([(file,) for file in files], ["path"]).coalesce(1)
    rows = [row["found"] for row in table.select(labels("path").alias("found")).collect()]
    assert [row["labels"] for row in rows] == expected["labels"].tolist()
    np.testing.assert_allclose([row["scores"] for row in rows], expected["scores"], rtol=0, atol=1e-5)
