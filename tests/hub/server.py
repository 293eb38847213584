# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
A server that speaks to huggingface_hub's real client as the Hub does, as far as pushing and loading models goes.

It proves that our code works with the client, not that huggingface.co answers likewise: what it must answer was read
off the client. Model repositories only, in memory, one user. `python -m tests.hub.server` prints its port and serves.
"""

import base64
import hashlib
import json
import socket
import sys
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN, USER, ORGANISATION = "hf_test", "tester", "lab"
LFS_ENDINGS = (".safetensors", ".bin", ".pth", ".npz")
LFS_SIZE = 10 * 2**20  # larger files are LFS whatever their name
DATE = "2026-01-01T00:00:00.000Z"
CHUNK = 2**16


@dataclass
class Commit:
    """A whole tree: path -> sha256 of its content."""

    sha: str
    title: str
    tree: dict[str, str]


@dataclass
class Repository:
    id: str
    private: bool
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, tree: dict[str, str], title: str, branch: str = "main", sha: str | None = None) -> Commit:
        sha = sha or hashlib.sha1(f"{self.id} {branch} {len(self.commits)}".encode()).hexdigest()
        self.commits.append(Commit(sha, title, tree))
        self.branches[branch] = sha
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        """By branch, tag or full hash: the Hub takes no abbreviated one."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        return next((commit for commit in self.commits if commit.sha == sha), None)


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None):
        self.status, self.message, self.code = status, message, code


class Hub:
    """The routes, and what they share."""

    def __init__(self, port: int):
        self.port = port
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[dict] = []
        self.log: list[dict] = []
        api = "/api/models/{organisation}/{name}"
        routes = [
            ("POST", "/_test/faults", self.add_fault),
            ("GET", "/_test/requests", self.requests),
            ("POST", "/_test/clear", self.clear),
            ("POST", "/_test/put", self.put),
            ("GET", "/api/whoami-v2", self.whoami),
            ("POST", "/api/validate-yaml", self.validate_yaml),
            ("POST", "/api/repos/create", self.create),
            ("DELETE", "/api/repos/delete", self.delete),
            ("GET", api, self.info),
            ("GET", f"{api}/revision/{{revision}}", self.info),
            ("GET", f"{api}/tree/{{revision}}", self.tree),
            ("GET", f"{api}/tree/{{revision}}/{{folder:path}}", self.tree),
            ("GET", f"{api}/refs", self.refs),
            ("GET", f"{api}/commits/{{revision}}", self.commits),
            ("POST", f"{api}/paths-info/{{revision}}", self.paths_info),
            ("POST", f"{api}/branch/{{ref}}", self.branch),
            ("POST", f"{api}/tag/{{revision}}", self.tag),
            ("POST", f"{api}/preupload/{{revision}}", self.preupload),
            ("POST", f"{api}/commit/{{revision}}", self.commit),
            ("POST", "/{organisation}/{name}.git/info/lfs/objects/batch", self.lfs_batch),
            ("PUT", "/_lfs/{oid}", self.lfs_put),
            ("POST", "/_lfs/{oid}/verify", self.lfs_verify),
            ("GET", "/_lfs/{oid}", self.lfs_get),
            ("GET", "/{organisation}/{name}/resolve/{revision}/{path:path}", self.resolve),
        ]
        handlers = {Refusal: self.refused}
        self.app = Starlette(
            routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in routes],
            exception_handlers=handlers,
        )

    async def __call__(self, scope, receive, send):
        """The application, keeping a log."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        entry = {
            "method": scope["method"],
            "path": scope["path"],
            "authorised": headers.get("authorization") == f"Bearer {TOKEN}",
            "range": headers.get("range"),
        }
        if not scope["path"].startswith("/_test/"):
            self.log.append(entry)

        async def noting(message):
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        return await self.app(scope, receive, noting)

    # What every route needs

    def signed_in(self, request: Request) -> bool:
        token = request.headers.get("authorization")
        if token is not None and token != f"Bearer {TOKEN}":
            raise Refusal(401, "Invalid credentials in Authorization header")
        return token is not None

    def repository(self, request: Request, write: bool = False) -> Repository:
        signed_in = self.signed_in(request)
        repo_id = f"{request.path_params['organisation']}/{request.path_params['name']}"
        found = self.repositories.get(repo_id)
        if found is None or (found.private and not signed_in):
            raise Refusal(404 if signed_in else 401, "Repository not found", "RepoNotFound")
        if write:
            self.check_writable(signed_in, repo_id)
        return found

    @staticmethod
    def check_writable(signed_in: bool, repo_id: str) -> None:
        if not signed_in:
            raise Refusal(401, "Sign in first")
        if repo_id.split("/")[0] not in (USER, ORGANISATION):
            raise Refusal(403, f"You don't have the rights to write {repo_id}")

    def revision(self, repository: Repository, request: Request) -> Commit:
        revision = request.path_params.get("revision", "main")
        commit = repository.at(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    async def refused(self, request: Request, refusal: Refusal) -> Response:
        headers = {"X-Error-Message": refusal.message}
        if refusal.code:
            headers["X-Error-Code"] = refusal.code
        return JSONResponse({"error": refusal.message}, refusal.status, headers)

    def is_lfs(self, path: str, oid: str) -> bool:
        return path.endswith(LFS_ENDINGS) or len(self.blobs[oid]) >= LFS_SIZE

    def entry(self, path: str, oid: str) -> dict:
        size = len(self.blobs[oid])
        entry = {"type": "file", "path": path, "size": size, "oid": hashlib.sha1(self.blobs[oid]).hexdigest()}
        return entry | ({"lfs": {"oid": oid, "size": size, "pointerSize": 130}} if self.is_lfs(path, oid) else {})

    # Tests' own

    async def add_fault(self, request: Request) -> Response:
        """`path` and one of `status`, `cut_after`, `truncate`; `times`, which is without end if absent."""
        self.faults.append(await request.json())
        return JSONResponse({})

    async def requests(self, request: Request) -> Response:
        return JSONResponse(self.log)

    async def clear(self, request: Request) -> Response:
        self.faults.clear()
        self.log.clear()
        return JSONResponse({})

    async def put(self, request: Request) -> Response:
        wanted = await request.json()
        repository = self.repositories.setdefault(wanted["repo_id"], Repository(wanted["repo_id"], wanted["private"]))
        tree = {}
        for path, content in wanted["files"].items():
            content = base64.b64decode(content)
            tree[path] = hashlib.sha256(content).hexdigest()
            self.blobs[tree[path]] = content
        return JSONResponse(repository.add(tree, "put", sha=wanted["sha"]).sha)

    def fault(self, path: str, *kinds: str) -> dict:
        for fault in self.faults:
            if path.endswith(fault["path"]) and any(kind in fault for kind in kinds) and fault.get("times", 1) > 0:
                if "times" in fault:
                    fault["times"] -= 1
                return fault
        return {}

    # Repositories

    async def whoami(self, request: Request) -> Response:
        if not self.signed_in(request):
            raise Refusal(401, "Sign in first")
        organisations = [{"name": ORGANISATION, "type": "org"}]
        return JSONResponse({"type": "user", "name": USER, "fullname": USER, "orgs": organisations, "auth": {}})

    async def validate_yaml(self, request: Request) -> Response:
        content = (await request.json())["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no metadata"}]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    async def create(self, request: Request) -> Response:
        content = await request.json()
        repo_id = f"{content.get('organization') or USER}/{content['name']}"
        self.check_writable(self.signed_in(request), repo_id)
        url = f"http://127.0.0.1:{self.port}/{repo_id}"
        if repo_id in self.repositories:
            return JSONResponse({"error": "You already created this model repo", "url": url}, 409)
        private = bool(content.get("private")) or content.get("visibility") == "private"
        self.repositories[repo_id] = Repository(repo_id, private)
        self.repositories[repo_id].add({}, "initial commit")
        return JSONResponse({"url": url, "name": repo_id})

    async def delete(self, request: Request) -> Response:
        content = await request.json()
        repo_id = f"{content.get('organization') or USER}/{content['name']}"
        self.check_writable(self.signed_in(request), repo_id)
        if self.repositories.pop(repo_id, None) is None:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return JSONResponse({})

    async def info(self, request: Request) -> Response:
        repository = self.repository(request)
        commit = self.revision(repository, request)
        return JSONResponse({
            "_id": repository.id, "id": repository.id, "modelId": repository.id, "sha": commit.sha,
            "private": repository.private, "tags": [], "downloads": 0, "likes": 0, "gated": False, "disabled": False,
            "lastModified": DATE, "createdAt": DATE, "siblings": [{"rfilename": path} for path in sorted(commit.tree)],
        })  # fmt: skip

    async def tree(self, request: Request) -> Response:
        commit = self.revision(self.repository(request), request)
        folder = request.path_params.get("folder", "")
        paths = [path for path in sorted(commit.tree) if not folder or path.startswith(f"{folder}/")]
        return JSONResponse([self.entry(path, commit.tree[path]) for path in paths])

    async def paths_info(self, request: Request) -> Response:
        commit = self.revision(self.repository(request), request)
        if "json" in request.headers.get("content-type", ""):
            paths = (await request.json())["paths"]
        else:
            paths = (await request.form()).getlist("paths")
        return JSONResponse([self.entry(path, commit.tree[path]) for path in paths if path in commit.tree])

    async def refs(self, request: Request) -> Response:
        repository = self.repository(request)
        named = {
            kind: [{"name": name, "ref": f"refs/{ref}/{name}", "targetCommit": sha} for name, sha in names.items()]
            for kind, ref, names in (
                ("branches", "heads", repository.branches),
                ("tags", "tags", repository.tags),
            )
        }
        return JSONResponse({**named, "converts": []})

    async def commits(self, request: Request) -> Response:
        repository = self.repository(request)
        last = repository.commits.index(self.revision(repository, request))
        return JSONResponse([
            {"id": commit.sha, "title": commit.title, "message": "", "date": DATE, "authors": [{"user": USER}]}
            for commit in reversed(repository.commits[: last + 1])
        ])  # fmt: skip

    async def branch(self, request: Request) -> Response:
        repository = self.repository(request, write=True)
        content = json.loads(await request.body() or b"{}")
        start = repository.at(content.get("startingPoint", "main"))
        if start is None:
            raise Refusal(404, "Invalid starting point", "RevisionNotFound")
        if request.path_params["ref"] in repository.branches:
            raise Refusal(409, "Reference already exists")
        repository.branches[request.path_params["ref"]] = start.sha
        return JSONResponse({})

    async def tag(self, request: Request) -> Response:
        repository = self.repository(request, write=True)
        content = await request.json()
        if content["tag"] in repository.tags:
            raise Refusal(409, "Reference already exists")
        repository.tags[content["tag"]] = self.revision(repository, request).sha
        return JSONResponse({})

    # Uploads

    async def preupload(self, request: Request) -> Response:
        commit = self.revision(self.repository(request, write=True), request)
        files = []
        for file in (await request.json())["files"]:
            mode = "lfs" if file["path"].endswith(LFS_ENDINGS) or file["size"] >= LFS_SIZE else "regular"
            here = commit.tree.get(file["path"])
            oid = {} if here is None else {"oid": self.entry(file["path"], here)["oid"]}
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **oid})
        return JSONResponse({"files": files})

    async def lfs_batch(self, request: Request) -> Response:
        self.repository(request, write=True)
        objects = []
        for wanted in (await request.json())["objects"]:
            href = f"http://127.0.0.1:{self.port}/_lfs/{wanted['oid']}"
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            stored = wanted["oid"] in self.blobs
            objects.append({**wanted, **({} if stored else {"actions": actions})})
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def lfs_put(self, request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            raise Refusal(400, "Content does not match its oid")
        self.blobs[request.path_params["oid"]] = content
        return Response()

    async def lfs_verify(self, request: Request) -> Response:
        if request.path_params["oid"] not in self.blobs:
            raise Refusal(404, "Not uploaded")
        return JSONResponse({})

    async def commit(self, request: Request) -> Response:
        repository = self.repository(request, write=True)
        branch = request.path_params["revision"]
        tree = dict(self.revision(repository, request).tree)
        title = ""
        for line in (await request.body()).splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    title = value["summary"]
                case "file":
                    content = base64.b64decode(value["content"])
                    tree[value["path"]] = hashlib.sha256(content).hexdigest()
                    self.blobs[tree[value["path"]]] = content
                case "lfsFile":
                    if value["oid"] not in self.blobs:
                        raise Refusal(400, f"{value['path']} was not uploaded")
                    tree[value["path"]] = value["oid"]
                case "deletedFile":
                    tree.pop(value["path"])
                case "deletedFolder":
                    tree = {path: oid for path, oid in tree.items() if not path.startswith(value["path"])}
        made = repository.add(tree, title, branch)
        url = f"http://127.0.0.1:{self.port}/{repository.id}/commit/{made.sha}"
        return JSONResponse({"success": True, "commitUrl": url, "commitOid": made.sha, "hookOutput": ""})

    # Downloads

    async def resolve(self, request: Request) -> Response:
        repository = self.repository(request)
        commit = self.revision(repository, request)
        path = request.path_params["path"]
        fault = self.fault(path, "status")
        if fault:
            raise Refusal(fault["status"], "As the test wants it")
        if path not in commit.tree:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        oid = commit.tree[path]
        if self.is_lfs(path, oid):
            # Another origin: the client follows redirects to the same one on HEAD, losing X-Repo-Commit.
            headers = {"X-Repo-Commit": commit.sha, "X-Linked-ETag": f'"{oid}"', "X-Linked-Size": self.size(path, oid)}
            return RedirectResponse(f"http://localhost:{self.port}/_lfs/{oid}?path={path}", 302, headers)
        return self.content(request, path, oid, {"X-Repo-Commit": commit.sha})

    async def lfs_get(self, request: Request) -> Response:
        if request.path_params["oid"] not in self.blobs:
            raise Refusal(404, "Not found")
        return self.content(request, request.query_params.get("path", ""), request.path_params["oid"], {})

    def size(self, path: str, oid: str) -> str:
        truncate = next((f["truncate"] for f in self.faults if "truncate" in f and path.endswith(f["path"])), None)
        return str(len(self.blobs[oid][:truncate]))

    def content(self, request: Request, path: str, oid: str, headers: dict) -> Response:
        content = self.blobs[oid][: int(self.size(path, oid))]
        total, start, status = len(content), 0, 200
        wanted = request.headers.get("range", "")
        if wanted.startswith("bytes="):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else total
            content, status = content[start:stop], 206
            headers = {**headers, "Content-Range": f"bytes {start}-{start + len(content) - 1}/{total}"}
        headers = {**headers, "ETag": f'"{oid}"', "Content-Length": str(len(content)), "Accept-Ranges": "bytes"}
        fault = self.fault(path, "cut_after") if request.method == "GET" else {}
        stop = max(0, fault["cut_after"] - start) if fault else len(content)

        async def stream():
            for index in range(0, stop, CHUNK):
                yield content[index : min(index + CHUNK, stop)]
            if stop < len(content):
                raise ConnectionAbortedError("as the test wants it")  # the server drops the connection

        return StreamingResponse(stream(), status, headers, media_type="application/octet-stream")


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(Hub(port), log_level="critical", lifespan="off"))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
