# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
from torch.utils.data import DataLoader


def loader(extractor, clips) -> DataLoader:
    """Batches of single clips' features, padded by the extractor."""
    features = []
    for clip in clips:
        outputs = extractor(clip["audio"], padding=False)
        features.append({**{name: value[0] for name, value in outputs.items()}, "labels": clip["label"]})
    return DataLoader(features, batch_size=4, collate_fn=lambda batch: extractor.pad(batch, return_tensors="pt"))
