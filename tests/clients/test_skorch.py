# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""scikit-learn: embeddings in a pipeline with cross-validation, and skorch's classifier around the model."""

import numpy as np
import pytest
import torch

from ssast_hf import SSASTForAudioClassification
from ssast_hf.integrations.batches import Embedder

sklearn = pytest.importorskip("sklearn", reason="pip install 'ssast_hf[train]'")


def test_embeddings_in_a_pipeline_with_cross_validation(checkpoints, tmp_path):
    """`Embedder` as a step, which is cloned and pickled by scikit-learn; tones of two pitches are told apart."""
    import soundfile
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    rng, files = np.random.default_rng(0), []
    for index in range(12):
        wave = np.sin(2 * np.pi * (300, 3000)[index % 2] * np.arange(8000) / 16000) + 0.05 * rng.standard_normal(8000)
        soundfile.write(tmp_path / f"{index}.wav", 0.3 * wave, 16000)
        files.append(str(tmp_path / f"{index}.wav"))
    embedder = Embedder(checkpoints / "pretrained")
    steps = FunctionTransformer(_embeddings, kw_args={"embedder": embedder}), StandardScaler(), LogisticRegression()
    scores = cross_val_score(make_pipeline(*steps), np.array(files), np.arange(12) % 2, cv=3)
    assert scores.tolist() == [1, 1, 1]


def _embeddings(files, embedder):
    return embedder({"path": files})["embeddings"]


def test_skorch_trains_the_classifier(config):
    skorch = pytest.importorskip("skorch", reason="pip install skorch (make clients)")

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = SSASTForAudioClassification(config)

        def forward(self, values):
            return self.model(input_values=values).logits

    torch.manual_seed(0)
    values, labels = np.random.default_rng(0).standard_normal((8, 40, 24)).astype(np.float32), np.arange(8) % 2
    values += labels[:, None, None]
    net = skorch.NeuralNetClassifier(
        Logits, criterion=torch.nn.CrossEntropyLoss, max_epochs=8, lr=0.1, train_split=None, verbose=0
    )
    net.fit(values, labels)
    losses = net.history[:, "train_loss"]
    assert losses[-1] < losses[0] and net.score(values, labels) == 1
    with torch.no_grad():
        expected = net.module_.model.eval()(input_values=torch.from_numpy(values)).logits.softmax(-1)
    np.testing.assert_allclose(net.predict_proba(values), expected, rtol=0, atol=1e-5)
