# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Loading from the Hub: revisions, the cache, downloads that break, and what must be refused, on fresh machines."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTForAudioClassification, SSASTModel

from .client import run_commands, run_python, save_checkpoint, started

SOUND = Path(__file__).parents[1] / "data/sounds/misc_crow.flac"
MIB = 2**20
LOAD = """
    import torch
    from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTModel
    def is_equal(there, directory):
        here = SSASTModel.from_pretrained(directory).state_dict()
        return all(torch.equal(value, here[name]) for name, value in there.state_dict().items())
"""


def test_revisions_full_and_abbreviated_and_offline(hub, home, tmp_path):
    """Configuration, extractor and weights are those of the commit; with a warm cache, no request is made."""
    old, new = "0123456789abcdef" * 2 + "01234567", "fedcba9876543210" * 2 + "fedcba98"
    for seed, (name, sha) in enumerate({"old": old, "new": new}.items()):
        save_checkpoint(tmp_path / name, SSASTModel, seed, max_length=32 + 32 * seed)
        hub.put("lab/birds", tmp_path / name, sha)
    code = (
        LOAD
        + """
    for revision, name in cases:
        args = {} if revision is None else {"revision": revision}
        assert is_equal(SSASTModel.from_pretrained("lab/birds", **args), f"{folder}/{name}"), revision
        assert SSASTConfig.from_pretrained("lab/birds", **args).max_length == (32 if name == "old" else 64)
        assert SSASTFeatureExtractor.from_pretrained("lab/birds", **args).mean == (-5 if name == "old" else -6)
    longer = SSASTModel.from_pretrained("lab/birds", revision=cases[1][0], max_length=48)  # another way to the weights
    assert torch.equal(longer.layernorm.bias, SSASTModel.from_pretrained(f"{folder}/old").layernorm.bias)
    """
    )
    cases = [(old, "old"), (old[:7], "old"), (new[:12], "new"), (None, "new"), ("main", "new")]
    given = {"folder": tmp_path, "cases": cases}
    run_python(code, home, hub, given=given)
    hub.clear()
    run_python(code, home, hub, offline=True, given=given)
    assert hub.requests() == []


def test_what_cannot_be_loaded_is_one_sentence_with_the_next_step(hub, home, tmp_path):
    """From each class and from the command line, where it is one line and exit status 2."""
    whole = save_checkpoint(tmp_path / "whole", SSASTForAudioClassification)
    for repo, missing in (
        ("lab/whole", None),
        ("lab/no-weights", "model.safetensors"),
        ("lab/no-config", "config.json"),
        ("lab/no-extractor", "preprocessor_config.json"),
    ):
        folder = shutil.copytree(whole, tmp_path / repo)
        if missing:
            (folder / missing).unlink()
        hub.put(repo, folder)
    hub.put("lab/secret", whole, private=True)
    pickle = shutil.copytree(tmp_path / "lab/no-weights", tmp_path / "lab/pickle")
    torch.save({"weight": torch.zeros(1)}, pickle / "pytorch_model.bin")
    hub.put("lab/pickle", pickle)
    hub.put("lab/truncated", whole)
    (whole / "model.safetensors").rename(whole / "out-of-order.safetensors")
    url, every, weights = re.escape(hub.url), "config extractor model", "model"
    log_in = f"is neither a directory here nor a repository that {url} shows you: check the name, and log in with"
    cases = [
        ("lab/none", {}, every, rf"^lab/none {log_in} `hf auth login` if it is private\.$"),
        ("lab/secret", {}, every, rf"^lab/secret {log_in} `hf auth login` if it is private\.$"),
        ("lab/whole", {"token": "hf_wrong"}, every,
         rf"^{url} refused the token for lab/whole: log in again with `hf auth login`, or give token=False for a pub"),
        ("lab/whole", {"revision": "v9"}, every,
         rf"^lab/whole has no revision 'v9': choose one of {url}/lab/whole/commits/main\.$"),
        ("lab/whole", {"revision": "abcdef0"}, every, r"^lab/whole has no revision 'abcdef0': choose one of"),
        ("lab/no-weights", {}, weights, r"^lab/no-weights has no model\.safetensors: it holds config\.json, "),
        ("lab/no-config", {}, "config model", r"^lab/no-config has no config\.json, so it is not a checkpoint: check"),
        ("lab/no-extractor", {}, "extractor",
         r"^lab/no-extractor has no preprocessor_config\.json: save the feature extractor beside the model\.$"),
        ("lab/pickle", {}, weights,
         r"^lab/pickle has no model\.safetensors, only pytorch_model\.bin: a pickle can run code when it is opened"),
    ]  # fmt: skip
    code = """
        import json
        from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification
        classes = {"config": SSASTConfig, "extractor": SSASTFeatureExtractor, "model": SSASTForAudioClassification}
        for repo, kwargs, which, _ in cases:
            for name in which.split():
                try:
                    classes[name].from_pretrained(repo, **kwargs)
                except (OSError, ValueError) as error:
                    print(json.dumps(str(error)))
                else:
                    raise SystemExit(f"{repo} {kwargs} {name} was loaded")
    """
    done = run_python(code, home, hub, given={"cases": cases})
    found = iter(map(json.loads, done.stdout.splitlines()))
    for _, _, which, message in cases:
        for error in (next(found) for _ in which.split()):
            assert re.search(message, error), error
            assert "\n" not in error

    hub.fault("model.safetensors", truncate=20_000)
    commands = [(["HF_TOKEN=", "classify", SOUND, "--model", "lab/truncated"],
                 r"weights of lab/truncated in .* are damaged or cut short \(.*\): fetch it again with force_download"
                 r"=True, or delete .*models--lab--truncated and load it\.$")]  # fmt: skip
    commands += [
        (["HF_TOKEN=" + kwargs.get("token", ""), "classify", SOUND, "--model", repo], message)
        for repo, kwargs, which, message in cases
        if "revision" not in kwargs and "model" in which
    ]
    results = run_commands([argv for argv, _ in commands], tmp_path / "another home", hub)
    for (status, out, err), (argv, message) in zip(results, commands):
        assert (status, out) == (2, ""), argv
        assert err.startswith("ssast: error: ")
        assert err.count("\n") == 1
        assert re.search(message, err.removeprefix("ssast: error: ").rstrip("\n")), err
    hub.clear()


def test_a_hub_out_of_order_or_out_of_reach(hub, home, tmp_path):
    """Is not mistaken for a repository without weights or without its own statistics."""
    hub.put("lab/whole", save_checkpoint(tmp_path / "whole", SSASTForAudioClassification))
    for path in ("model.safetensors", "preprocessor_config.json"):
        hub.fault(path, status=503)
    code = """
        from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTModel
        for cls in (SSASTForAudioClassification, SSASTFeatureExtractor):
            try:
                cls.from_pretrained("lab/whole")
            except OSError as error:
                print(error)
    """
    done = run_python(code, home, hub, patient=False)
    hub.clear()
    for line in done.stdout.splitlines():
        assert re.fullmatch(rf"lab/whole could not be fetched from {hub.url} \(.*503.*\): try again\.", line), line
    assert len(done.stdout.splitlines()) == 2
    done = run_python(code, tmp_path / "another", patient=False, HF_ENDPOINT="http://127.0.0.1:9")
    for line in done.stdout.splitlines():
        assert line == (
            "lab/whole is neither a directory here nor in the Hub's cache, and the Hub cannot be reached: load it "
            "once with the Hub in reach."
        )
    assert len(done.stdout.splitlines()) == 2


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A checkpoint of more than 25 MiB."""
    fields = {"hidden_size": 256, "num_hidden_layers": 9, "intermediate_size": 1024}
    directory = save_checkpoint(tmp_path_factory.mktemp("large"), SSASTModel, **fields)
    assert (directory / "model.safetensors").stat().st_size > 25 * MIB
    return directory


def test_a_download_that_is_cut_resumes(hub, home, large):
    """Cut at 12 MiB of 25: the client keeps its whole chunks of 10 MiB and asks for the rest."""
    hub.put("lab/large", large)
    hub.clear()
    hub.fault("model.safetensors", cut_after=12 * MIB, times=1)
    run_python(
        LOAD + "    assert is_equal(SSASTModel.from_pretrained('lab/large'), large)", home, hub, given={"large": large}
    )
    ranges = [e["range"] for e in hub.requests() if e["method"] == "GET" and e["path"].startswith("/_lfs/")]
    assert ranges == [None, f"bytes={10 * MIB}-"]


def test_two_processes_load_at_once(hub, home, large):
    """Both get the checkpoint, which is downloaded once."""
    hub.put("lab/shared", large)
    hub.clear()
    code = LOAD + "    assert is_equal(SSASTModel.from_pretrained('lab/shared'), large)"
    given = {"large": large}
    with started(code, home, hub, given=given) as one, started(code, home, hub, given=given) as other:
        for process in (one, other):
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
    downloads = [e for e in hub.requests() if e["method"] == "GET" and e["path"].startswith("/_lfs/")]
    assert len(downloads) == 1


def test_weights_are_checked_where_their_sha256_is_known(hub, home, tmp_path):
    """By a user's name with a right and a wrong sha256, and by the official name of the one that is known."""
    whole = save_checkpoint(tmp_path / "whole", SSASTModel)
    sha256 = hashlib.sha256((whole / "model.safetensors").read_bytes()).hexdigest()
    pin = "f67df8e895e787bad0aec434563e8f0a1f61c794"
    hub.put("Simon-Kotchou/ssast-base-patch-audioset-16-16", whole, pin)
    repository = {"repo": "lab/checked", "revision": hub.put("lab/checked", whole)[:9]}
    names = {"right": {**repository, "sha256": sha256}, "wrong": {**repository, "sha256": "0" * 64}}
    (tmp_path / "names.json").write_text(json.dumps(names))
    code = LOAD + """
    assert is_equal(SSASTModel.from_pretrained("right"), whole)
    for name in ("wrong", "ssast-base-patch", "Simon-Kotchou/ssast-base-patch-audioset-16-16"):
        try:
            SSASTModel.from_pretrained(name)
        except OSError as error:
            print(error)
    """  # fmt: skip
    done = run_python(code, home, hub, given={"whole": whole}, SSAST_CHECKPOINTS=str(tmp_path / "names.json"))
    wrong, official, _ = lines = done.stdout.splitlines()
    again = "fetch it again with force_download=True, or delete .* and load it, or give another `revision` to take"
    assert re.search(rf"is not the weights of wrong: its sha256 is {sha256}, expected {'0' * 64}: {again}", wrong)
    for line in lines:
        assert "is not the weights of" in line
    known = "a31a7f70fea7648847882ecd278369f6f1b1cb0050364c4dff7d3c8cf8aabfe6"
    assert f"its sha256 is {sha256}, expected {known}" in official
