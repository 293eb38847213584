# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Models equal the original's outputs in `golden/` (see its README), loaded as a user loads a converted checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining, SSASTModel
from ssast_hf.checkpoints.convert import convert_checkpoint
from ssast_hf.checkpoints.layouts import convert_state_dict, official_to_ours

from .golden import CASES, GOLDEN, seeded


def cases(kind: str) -> list[str]:
    return [name for name in CASES if name.startswith(kind + "/")]


def sliced(tensor: torch.Tensor) -> torch.Tensor:
    """As `golden/README.md` cuts hidden states and position embeddings."""
    return tensor[:, :: max(1, tensor.shape[1] // 8), :: max(1, tensor.shape[2] // 16)]


def checkpoint(case: dict, tdim: int) -> dict[str, torch.Tensor]:
    return seeded.pretraining_checkpoint(case["size"], case["fshape"], case["tshape"], tdim=tdim)


def strided_as_pretrained(case: dict) -> bool:
    return (case["fstride"], case["tstride"]) == (case["fshape"], case["tshape"])


@pytest.mark.parametrize("name", cases("pretrain"))
def test_pretraining_equals_the_original(name):
    """Losses, accuracy, every gradient's norm and the unmasked hidden states, from one masked pass."""
    case = CASES[name]
    conversion = convert_state_dict(checkpoint(case, case["tdim"]), num_mask_patches=case["mask"])
    model = conversion.model
    assert isinstance(model, SSASTForPreTraining)
    input_values = seeded.spectrogram(2, case["tdim"])
    mask = torch.zeros(2, model.config.num_patches, dtype=torch.bool).scatter(1, GOLDEN[f"{name}/mask_index"], True)

    outputs = model(input_values, bool_masked_pos=mask)
    outputs.loss.backward()

    torch.testing.assert_close(outputs.loss_discriminative, GOLDEN[f"{name}/loss_discriminative"], rtol=1e-4, atol=0)
    torch.testing.assert_close(outputs.loss_generative, GOLDEN[f"{name}/loss_generative"], rtol=1e-4, atol=0)
    torch.testing.assert_close(outputs.accuracy, GOLDEN[f"{name}/accuracy"], rtol=0, atol=1e-6)
    expected = {k.rpartition("grad_norm/")[2]: v for k, v in GOLDEN.items() if k.startswith(f"{name}/grad_norm/")}
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert len(expected) >= 7
    for official, norm in expected.items():
        torch.testing.assert_close(
            gradients[official_to_ours(official)].norm(), norm, rtol=1e-3, atol=1e-7, msg=official
        )

    with torch.no_grad():
        hidden = model.ssast(input_values).last_hidden_state
    torch.testing.assert_close(sliced(hidden), GOLDEN[f"{name}/last_hidden_state_slice"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", cases("finetune"))
def test_finetuning_equals_the_original(name, tmp_path):
    """A 1024-frame checkpoint, loaded with another stride and length by keywords, gives the original's logits."""
    case = CASES[name]
    path = tmp_path / "official.pth"
    torch.save(checkpoint(case, 1024), path)
    convert_checkpoint(path, tmp_path / "converted")
    head = {
        official_to_ours(key): value for key, value in seeded.classifier_head(case["size"], case["labels"]).items()
    }
    input_values = seeded.spectrogram(2, case["tdim"])
    for pooling in ("mean", "cls"):
        model = SSASTForAudioClassification.from_pretrained(
            tmp_path / "converted",
            num_labels=case["labels"],
            frequency_stride=case["fstride"],
            time_stride=case["tstride"],
            max_length=case["tdim"],
            pooling=pooling,
        )
        model.load_state_dict(head, strict=False)
        with torch.no_grad():
            logits = model(input_values).logits
        torch.testing.assert_close(logits, GOLDEN[f"{name}/logits_{pooling}"], rtol=0, atol=1e-4)
    positions = model.ssast.embeddings.position_embeddings
    assert positions.shape[1] == 2 + model.config.num_patches
    torch.testing.assert_close(
        sliced(positions.detach()), GOLDEN[f"{name}/position_embeddings_slice"], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", [n for n in cases("finetune") if strided_as_pretrained(CASES[n])])
def test_other_lengths_need_no_adapted_checkpoint(name):
    """The unadapted 1024-frame model takes shorter input and gives the hidden states of the adapted one."""
    case = CASES[name]
    model = SSASTModel(convert_state_dict(checkpoint(case, 1024)).model.config).eval()
    state = convert_state_dict(checkpoint(case, 1024)).model.ssast.state_dict()
    model.load_state_dict({key: value for key, value in state.items() if key != "embeddings.mask_token"})
    with torch.no_grad():
        pooled = model(seeded.spectrogram(2, case["tdim"])).pooler_output
    head = seeded.classifier_head(case["size"], case["labels"])
    pooled = torch.nn.functional.layer_norm(
        pooled, pooled.shape[-1:], head["mlp_head.0.weight"], head["mlp_head.0.bias"]
    )
    logits = torch.nn.functional.linear(pooled, head["mlp_head.1.weight"], head["mlp_head.1.bias"])
    torch.testing.assert_close(logits, GOLDEN[f"{name}/logits_mean"], rtol=0, atol=1e-4)


def filterbank(name: str) -> torch.Tensor:
    case = CASES[name]
    waveform = seeded.waveform(case["kind"], case["samples"])
    extractor = SSASTFeatureExtractor(do_normalize=False)
    features = extractor(waveform, sampling_rate=16000, padding=False, return_tensors="pt").input_values[0]
    assert features.shape[0] == case["frames"]
    return features[:: case.get("step", 1)]


@pytest.mark.parametrize("name", cases("fbank"))
def test_filterbank_is_within_rounding_of_the_original(name):
    """
    In float32, energies far below a frame's strongest are rounding noise, which differs between processors: on some,
    torchaudio itself is 6e-3 from the stored values of the chirp. So the bound is on the energies, relative to the
    frame's strongest, and 1e-4 on what is not far below it.
    """
    found, expected = filterbank(name).double(), GOLDEN[name].double()
    strongest = expected.amax(dim=1, keepdim=True)
    assert ((found.exp() - expected.exp()).abs() / strongest.exp()).max() < 1e-5
    loud = expected > strongest - 12
    assert (found - expected)[loud].abs().max() < 3e-4
    assert (found - expected).abs().max() < 2e-2


def test_filterbank_equals_the_original_bit_for_bit_where_the_fft_does():
    """With MKL's processor-independent code path, on which the golden values lie, all agree to float32's last bits."""
    code = (
        "from tests.test_golden import *\n"
        "for name in cases('fbank'):\n"
        "    print(name, (filterbank(name) - GOLDEN[name]).abs().max().item())\n"
    )
    environment = {**os.environ, "MKL_CBWR": "COMPATIBLE"}
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    errors = {name: float(error) for name, error in map(str.split, done.stdout.splitlines())}
    assert len(errors) == len(cases("fbank"))
    assert max(errors.values()) < 1e-4, errors
