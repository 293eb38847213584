# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is pushed comes back exactly: by `push_to_hub`, by `ssast push`, by the Trainer; and its model card."""

import json
import re
import shutil
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ssast_hf import SSASTForAudioClassification, SSASTForPreTraining, SSASTModel

from .client import TOKEN, run_commands, run_python, save_checkpoint

SOUNDS = Path(__file__).parents[1] / "data/sounds"
LABELS = {"id2label": {0: "drum", 1: "voice", 2: "rest"}, "label2id": {"drum": 0, "voice": 1, "rest": 2}}
CLASSES = {"encoder": SSASTModel, "classifier": SSASTForAudioClassification, "pretrained": SSASTForPreTraining}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """`encoder`, `classifier` and `pretrained`: three different checkpoints on disk."""
    folder = tmp_path_factory.mktemp("saved")
    for seed, (name, cls) in enumerate(CLASSES.items()):
        save_checkpoint(folder / name, cls, seed, **LABELS)
    return folder


def test_models_and_extractor_come_back_exactly(hub, home, saved, tmp_path):
    """By `push_to_hub` on one machine and `from_pretrained` on another."""
    push = """
        from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining, SSASTModel
        for cls, name in ((SSASTModel, "encoder"), (SSASTForAudioClassification, "classifier"),
                          (SSASTForPreTraining, "pretrained")):
            cls.from_pretrained(f"{saved}/{name}").push_to_hub(f"lab/{name}", private=name == "encoder")
            SSASTFeatureExtractor.from_pretrained(f"{saved}/{name}").push_to_hub(f"lab/{name}")
        try:
            SSASTModel.from_pretrained("lab/encoder", token=False)
        except OSError as error:
            assert "lab/encoder is neither a directory here nor a repository that" in str(error)
        else:
            raise SystemExit("a private repository was read without a token")
    """
    run_python(push, home, hub, token=TOKEN, given={"saved": saved})
    load = """
        import torch
        from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification
        from transformers import AutoModelForPreTraining, pipeline
        from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining, SSASTModel
        for name, auto, cls in (
            ("encoder", AutoModel, SSASTModel),
            ("classifier", AutoModelForAudioClassification, SSASTForAudioClassification),
            ("pretrained", AutoModelForPreTraining, SSASTForPreTraining),
        ):
            here = cls.from_pretrained(f"{saved}/{name}")
            extractor = SSASTFeatureExtractor.from_pretrained(f"{saved}/{name}").to_dict()
            for load in (cls, auto):
                there = load.from_pretrained(f"lab/{name}")
                assert type(there) is cls and there.state_dict().keys() == here.state_dict().keys()
                assert all(torch.equal(value, here.state_dict()[key]) for key, value in there.state_dict().items())
                assert {**there.config.to_dict(), "_name_or_path": 0} == {**here.config.to_dict(), "_name_or_path": 0}
            for load in (SSASTFeatureExtractor, AutoFeatureExtractor):
                assert load.from_pretrained(f"lab/{name}").to_dict() == extractor
        sound = torch.randn(16000, generator=torch.Generator().manual_seed(0)).numpy()
        here, there = (pipeline("audio-classification", name) for name in (f"{saved}/classifier", "lab/classifier"))
        assert here(sound.copy()) == there(sound.copy())
    """
    run_python(load, tmp_path / "another machine", hub, token=TOKEN, given={"saved": saved})


def test_ssast_push_and_loading_where_the_package_is_missing(hub, home, saved, tmp_path):
    """
    `ssast push` sends what loading needs and nothing else; on a machine with transformers alone, the Auto classes and
    a pipeline then give the same outputs, with `trust_remote_code=True`.
    """
    for name in CLASSES:
        shutil.copytree(saved / name, tmp_path / name)
    for path in (tmp_path / "classifier").glob("*.py"):
        path.unlink()  # as an older checkpoint, without its code
    (tmp_path / "classifier/checkpoint-3").mkdir()
    for name in ("training_args.bin", "optimizer.pt", "notes.txt", "checkpoint-3/model.safetensors"):
        (tmp_path / "classifier" / name).write_text("stays here")
    results = run_commands(
        [
            ["push", tmp_path / "classifier", "lab/sounds", "--private", "--revision", "v2"],
            ["push", tmp_path / "encoder", "lab/sounds-encoder", "--license", "cc-by-4.0", "--message", "Here it is"],
            ["push", tmp_path / "pretrained", "lab/sounds-pretrained"],
        ],
        home, hub, TOKEN,
    )  # fmt: skip
    for (status, out, _), name in zip(results, ("sounds", "sounds-encoder", "sounds-pretrained")):
        assert status == 0
        assert re.fullmatch(rf"{hub.url}/lab/{name}/commit/[0-9a-f]{{40}}\n", out)

    sound = torch.randn(1, 64, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = SSASTForAudioClassification.from_pretrained(saved / "classifier").eval()(sound).logits
        hidden = SSASTModel.from_pretrained(saved / "encoder").eval()(sound).last_hidden_state
        masked = torch.arange(32)[None] % 2 == 0
        loss = SSASTForPreTraining.from_pretrained(saved / "pretrained").eval()(sound, bool_masked_pos=masked).loss
    tensors = {"sound": sound, "logits": logits, "hidden": hidden, "masked": masked, "loss": loss}
    save_file(tensors, tmp_path / "expected.safetensors")
    code = """
        import torch
        from huggingface_hub import HfApi
        from safetensors.torch import load_file
        from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification
        from transformers import AutoModelForPreTraining, pipeline
        try:
            import ssast_hf
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit("the package is here")
        api = HfApi()
        assert api.model_info("lab/sounds").private and not api.model_info("lab/sounds-encoder").private
        assert "config.json" not in api.list_repo_files("lab/sounds")  # on its branch alone
        assert api.list_repo_files("lab/sounds", revision="v2") == files
        assert api.list_repo_commits("lab/sounds-encoder")[0].title == "Here it is"
        expected, remote = load_file(expected), {"trust_remote_code": True}
        with torch.no_grad():
            model = AutoModelForAudioClassification.from_pretrained("lab/sounds", revision="v2", **remote)
            assert torch.equal(model(expected["sound"]).logits, expected["logits"])
            model = AutoModel.from_pretrained("lab/sounds-encoder", **remote)
            assert torch.equal(model(expected["sound"]).last_hidden_state, expected["hidden"])
            model = AutoModelForPreTraining.from_pretrained("lab/sounds-pretrained", **remote).eval()
            assert torch.equal(model(expected["sound"], bool_masked_pos=expected["masked"]).loss, expected["loss"])
        extractor = AutoFeatureExtractor.from_pretrained("lab/sounds", revision="v2", **remote)
        assert (type(extractor).__name__, extractor.mean) == ("SSASTFeatureExtractor", -6.0)
        classify = pipeline("audio-classification", "lab/sounds", revision="v2", **remote)
        scores = classify(torch.randn(16000).numpy(), top_k=3)
        assert sorted(score["label"] for score in scores) == ["drum", "rest", "voice"]
        try:
            AutoModel.from_pretrained("lab/sounds-encoder", trust_remote_code=False)
        except ValueError as error:
            assert "trust_remote_code" in str(error)
        else:
            raise SystemExit("code was run without trust")
    """
    files = [
        "README.md", "batching.py", "config.json", "configuration_ssast.py", "feature_extraction_ssast.py",
        "masking.py", "model.safetensors", "modeling_ssast.py", "pipelines.py", "preprocessor_config.json",
    ]  # fmt: skip
    given = {"expected": tmp_path / "expected.safetensors", "files": files}
    run_python(code, tmp_path / "another machine", hub, TOKEN, hide_package=True, given=given)


def test_the_trainer_pushes_and_its_card_is_true(hub, home, saved, tmp_path):
    """`ssast finetune --push_to_hub`, then the card's own lines on another machine."""
    for label, names in {"voice": ("misc_crow", "perc_snap"), "drum": ("drum_heavy_kick", "tabla_tas1")}.items():
        (tmp_path / "recordings" / label).mkdir(parents=True)
        for name in names:
            shutil.copy(SOUNDS / f"{name}.flac", tmp_path / "recordings" / label)
    hub.put("lab/base", saved / "pretrained")
    output = tmp_path / "tuned"
    command = [
        "finetune", "--data", tmp_path / "recordings", "--model", "lab/base", "--output_dir", output,
        "--num_train_epochs", "2", "--learning_rate", "0.0123", "--push_to_hub", "True", "--hub_model_id", "lab/tuned",
        "--hub_token", TOKEN, "--use_cpu", "True", "--disable_tqdm", "True", "--report_to", "none",
    ]  # fmt: skip
    ((status, out, err),) = run_commands([command], home, hub)
    assert status == 0, err
    assert f"Pushed to {hub.url}/lab/tuned/commit/" in out
    assert TOKEN.encode() not in (output / "training_args.bin").read_bytes()
    card = (output / "README.md").read_text()
    usage = re.search(r"```python\n(.*?)```", card, flags=re.S).group(1)
    assert len([line for line in usage.splitlines() if line]) <= 5
    another = tmp_path / "another machine"
    another.mkdir()
    shutil.copy(SOUNDS / "misc_crow.flac", another / "sound.wav")  # soundfile goes by the content
    code = """
        import torch
        from huggingface_hub import HfApi, ModelCard
        from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
        here, there = (SSASTForAudioClassification.from_pretrained(name) for name in (output, "lab/tuned"))
        assert all(torch.equal(value, here.state_dict()[name]) for name, value in there.state_dict().items())
        extractors = (SSASTFeatureExtractor.from_pretrained(name).to_dict() for name in (output, "lab/tuned"))
        assert next(extractors) == next(extractors)
        assert not any(file.startswith("checkpoint-") for file in HfApi().list_repo_files("lab/tuned"))
        card = ModelCard.load("lab/tuned")
        card.validate()
        data = card.data
        assert (data.base_model, data.library_name, data.pipeline_tag) == (
            "lab/base", "transformers", "audio-classification")
        assert data.model_name == "tuned"
        found = {(result.dataset_name, result.dataset_split, result.metric_type): result.metric_value
                 for result in data.eval_results}
        assert found == {("recordings", "validation", metric): value for metric, value in results.items()}
        assert card.content == open(output + "/README.md").read()
    """
    results = json.loads((output / "eval_results.json").read_text())
    metrics = {"accuracy": "accuracy", "f1": "f1_macro", "mAP": "mAP", "mAUC": "mAUC"}
    given = {"output": output, "results": {name: results[f"eval_{metric}"] for name, metric in metrics.items()}}
    done = run_python(textwrap.dedent(code) + usage, another, hub, given=given)
    assert "'label': 'voice'" in done.stdout
    assert "2: `drum`, `voice`." in card
    assert "| learning_rate | 0.0123 |" in card
    assert "| clips for training | 2 |" in card
    assert str(tmp_path) not in card
    assert not re.search(r"more information needed|\[.*needed\]|TODO|None|\{|nan", card.split("## Citation")[0], re.I)


def test_cards_that_somebody_wrote_stay(hub, home, saved, tmp_path):
    """A README beside the model is pushed as it is; one edited on the Hub is not replaced by a written one."""
    own, edited = "---\nlicense: mit\n---\n\n# My birds\n", "---\nlicense: mit\n---\n\n# Edited on the Hub\n"
    shutil.copytree(saved / "classifier", tmp_path / "own")
    (tmp_path / "own/README.md").write_text(own)
    code = """
        from huggingface_hub import HfApi, ModelCard
        from ssast_hf import SSASTForAudioClassification
        from ssast_hf.checkpoints.cards import MARK
        from ssast_hf.checkpoints.push import push_directory
        api = HfApi()
        def card(repo):
            return open(api.hf_hub_download(repo, "README.md"), newline="").read()
        push_directory(saved + "/own", "lab/own")
        assert card("lab/own") == own
        model = SSASTForAudioClassification.from_pretrained(saved + "/own")
        model.push_to_hub("lab/own", commit_message="again", tags=["bioacoustics"])
        assert card("lab/own") == own

        model.push_to_hub("lab/written", tags=["bioacoustics"])
        written = card("lab/written")
        assert MARK in written and "bioacoustics" in ModelCard(written).data.tags
        assert "Trained from" not in written  # of a directory, which is nobody's business
        assert "## Training" not in written  # of which nothing is known
        from_hub = SSASTForAudioClassification.from_pretrained("lab/written")
        from_hub.push_to_hub("lab/derived")
        assert ModelCard(card("lab/derived")).data.base_model == "lab/written"
        assert "## Training" not in card("lab/derived")
        push_directory(saved + "/own", "lab/none", licence="cc0-1.0", datasets=["me/birds"], revision="next")
        api.upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id="lab/written")
        open(saved + "/own/README.md", "w").write(written)  # as the Trainer leaves it
        push_directory(saved + "/own", "lab/written")
        assert card("lab/written") == edited
        push_directory(saved + "/own", "lab/fresh", licence="cc0-1.0", datasets=["me/birds"])
        data = ModelCard(card("lab/fresh")).data
        assert (data.license, data.datasets) == ("cc0-1.0", ["me/birds"])
    """
    run_python(code, home, hub, TOKEN, given={"saved": tmp_path, "own": own, "edited": edited})


def test_a_push_that_cannot_be_is_one_sentence_with_the_next_step(hub, home, saved, tmp_path):
    """On the command line: one line, exit status 2, and nothing is half pushed."""
    shutil.copytree(saved / "encoder", tmp_path / "no extractor")
    (tmp_path / "no extractor/preprocessor_config.json").unlink()
    (tmp_path / "recordings/a").mkdir(parents=True)
    (tmp_path / "recordings/b").mkdir()
    for label in "ab":
        for index in range(2):
            shutil.copy(SOUNDS / "perc_snap.flac", tmp_path / f"recordings/{label}/{index}.flac")
    encoder = saved / "encoder"
    finetune = [
        "finetune", "--data", tmp_path / "recordings", "--model", saved / "pretrained", "--push_to_hub", "True",
        "--hub_model_id", "lab/x", "--output_dir",
    ]  # fmt: skip
    refused = r"refused to let you write {}: log in with `hf auth login`, with a token that may write there\.$"
    wrong, right = "HF_TOKEN=hf_wrong", f"HF_TOKEN={TOKEN}"
    cases = [
        ([wrong, "push", encoder, "lab/x"], refused.format("lab/x")),
        ([wrong, *finetune, tmp_path / "out"], refused.format("lab/x")),
        ([right, "push", encoder, "stranger/x"], refused.format("stranger/x")),
        ([right, "push", encoder, "not a name"], r"'not a name' is not a repository's name, expected ORG/NAME"),
        ([right, "push", tmp_path / "nowhere", "lab/x"], r"No such directory: .*nowhere$"),
        ([right, "push", tmp_path / "no extractor", "lab/x"], r"no preprocessor_config.json: save the feature extr"),
    ]
    for (status, _, err), (_, message) in zip(run_commands([argv for argv, _ in cases], home, hub), cases):
        *report, line = err.splitlines()
        assert status == 2
        assert line.startswith("ssast: error: ")
        assert re.search(message, line), line
        assert not report or any("classifier: new" in each for each in report)
    push = [["push", encoder, "lab/x"]]
    ((status, _, err),) = run_commands(push, home, hub, TOKEN, offline=True)
    assert (status, err) == (2, "ssast: error: lab/x cannot be pushed, because HF_HUB_OFFLINE is set: unset it.\n")
    ((status, _, err),) = run_commands(push, home, None, TOKEN, patient=False, HF_ENDPOINT="http://127.0.0.1:9")
    assert status == 2
    assert re.fullmatch(r"ssast: error: lab/x could not be pushed to http://127.0.0.1:9 \(.*\): try again\.\n", err)
    assert not any(entry["path"].endswith("/commit/main") for entry in hub.requests() if "/lab/x/" in entry["path"])
