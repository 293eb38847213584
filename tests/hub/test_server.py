# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The server itself, by what huggingface_hub's client does with it."""

from .client import TOKEN, run_python


def test_pushing_branching_and_downloading(hub, home, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4096 * 12)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Card\n")
    code = f"""
        import filecmp, os
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
        api, folder = HfApi(), {str(folder)!r}
        assert api.whoami()["name"] == "tester"
        assert api.create_repo("lab/one").repo_id == "lab/one"
        assert api.create_repo("lab/one", exist_ok=True).repo_id == "lab/one"
        first = api.upload_folder(repo_id="lab/one", folder_path=folder).oid
        api.create_tag("lab/one", tag="v1")
        api.create_branch("lab/one", branch="next")
        api.create_branch("lab/one", branch="next", exist_ok=True)
        second = api.upload_file(path_or_fileobj=b"[]", path_in_repo="config.json", repo_id="lab/one").oid
        third = api.upload_file(path_or_fileobj=b"3", path_in_repo="more.txt", repo_id="lab/one", revision="next").oid
        assert [commit.commit_id for commit in api.list_repo_commits("lab/one")][:2] == [second, first]
        assert sorted(api.list_repo_files("lab/one", revision=first)) == sorted(os.listdir(folder))
        assert api.model_info("lab/one").sha == second and api.model_info("lab/one", revision="next").sha == third
        assert [file.lfs is None for file in api.list_repo_tree("lab/one")] == [True, True, False]
        assert {{ref.name for ref in api.list_repo_refs("lab/one").branches}} == {{"main", "next"}}
        old = api.snapshot_download("lab/one", revision="v1")
        assert filecmp.cmpfiles(old, folder, os.listdir(folder), shallow=False) == (os.listdir(folder), [], [])
        assert open(api.snapshot_download("lab/one") + "/config.json").read() == "[]"
        api.create_repo("tester/two", private=True)
        assert api.model_info("tester/two").private
        try:
            api.create_repo("stranger/one")
        except HfHubHTTPError as error:
            assert error.response.status_code == 403
        api.delete_repo("tester/two")
        assert not api.repo_exists("tester/two")
    """
    run_python(code, home, hub, token=TOKEN)


def test_errors_have_the_clients_classes(hub, home, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "config.json").write_text("{}")
    hub.put("lab/open", tmp_path / "files")
    hub.put("lab/secret", tmp_path / "files", private=True)
    code = f"""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import *
        def error_of(*args, **kwargs):
            try:
                hf_hub_download(*args, **kwargs)
            except Exception as error:
                return type(error)
        assert error_of("lab/none", "config.json") is RepositoryNotFoundError
        assert error_of("lab/secret", "config.json") is RepositoryNotFoundError
        assert error_of("lab/open", "config.json", revision="none") is RevisionNotFoundError
        assert error_of("lab/open", "none.json") is RemoteEntryNotFoundError
        assert error_of("lab/open", "config.json", token="hf_wrong") is HfHubHTTPError
        assert error_of("lab/secret", "config.json", token={TOKEN!r}) is None
    """
    run_python(code, home, hub)
