# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Lightning: a module around the classifier (`make clients` installs it)."""

import pytest
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification

from .loader import loader

lightning = pytest.importorskip("lightning", reason="make clients installs it")


class Classifier(lightning.LightningModule):
    def __init__(self, name: str):
        super().__init__()
        self.save_hyperparameters()
        self.model = SSASTForAudioClassification.from_pretrained(name)

    def training_step(self, batch, index):
        loss = self.model(**batch).loss
        self.log("loss", loss, on_epoch=True, batch_size=len(batch["labels"]))
        return loss

    def validation_step(self, batch, index):
        found = self.model(**batch).logits.argmax(dim=1)
        self.log("accuracy", (found == batch["labels"]).float().mean(), batch_size=len(batch["labels"]))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def test_a_module_trains_and_comes_back_from_its_checkpoint(saved, clips, tmp_path):
    batches = loader(SSASTFeatureExtractor.from_pretrained(saved), clips)
    how = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "default_root_dir": tmp_path}
    module = Classifier(saved)
    trainer = lightning.Trainer(max_epochs=2, **how)
    trainer.fit(module, batches, batches)
    assert 0 <= trainer.callback_metrics["accuracy"] <= 1
    again = Classifier.load_from_checkpoint(trainer.checkpoint_callback.best_model_path, map_location="cpu")
    torch.testing.assert_close(dict(again.state_dict()), dict(module.state_dict()))
    again.model.save_pretrained(tmp_path / "saved")
    exported = SSASTForAudioClassification.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(dict(exported.state_dict()), dict(module.model.state_dict()))
