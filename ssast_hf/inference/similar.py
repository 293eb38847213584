# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The sounds of a collection that are nearest to a sound, and the nearest moments in them."""

import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..checkpoints.loading import load_complete
from ..data.sources import Clip
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTModel
from .appending import path_of
from .collection_files import Collection, read_collection
from .devices import checksum, load_on_device
from .embed import embed

MANY = 100_000  # rows from which FAISS searches, if it is installed
ROWS_AT_ONCE = 2**14


@dataclass(frozen=True)
class Neighbour:
    """
    A sound, or a moment in it.

    Args:
        file (`str`): Its name in the collection.
        score (`float`): Cosine similarity to the query, -1 to 1, of embeddings less the collection's mean.
        start (`float`), end (`float`), *optional*: Seconds in the file's clip; None for whole files of which the
            length is not known.
    """

    file: str
    score: float
    start: float
    end: float | None


class Neighbours:
    """
    Exact search among the embeddings of a collection.

    Embeddings of one model point roughly the same way, so that raw cosines crowd near 1. The collection's mean is
    subtracted from all embeddings and from the query first.

    Args:
        embeddings (`np.ndarray` of shape `(rows, size)`): May be mapped into memory.
        faiss (`bool`, *optional*): Whether FAISS searches, by inner products of all rows (`IndexFlatIP`), which holds
            a copy of them. Default: from 100,000 rows on, if it is installed.

    Raises:
        ValueError: There are fewer than 2 rows, of which a mean says nothing; or FAISS is asked for and missing.
    """

    def __init__(self, embeddings: np.ndarray, faiss: bool | None = None):
        if embeddings.ndim != 2 or len(embeddings) < 2:
            raise ValueError(f"Found embeddings {embeddings.shape}, expected (rows, size) with 2 rows or more.")
        self.embeddings = embeddings
        sums = [block.sum(axis=0, dtype=np.float64) for _, block in self._blocks()]
        self.mean = (np.sum(sums, axis=0) / len(embeddings)).astype(np.float32)
        installed = importlib.util.find_spec("faiss") is not None
        if faiss and not installed:
            raise ValueError("FAISS is not installed: pip install faiss-cpu")
        self.index = None
        if faiss or (faiss is None and installed and len(embeddings) >= MANY):
            import faiss as library

            self.index = library.IndexFlatIP(embeddings.shape[1])
            for _, block in self._blocks():
                self.index.add(self._directions(block))

    def cosines(self, query: np.ndarray) -> np.ndarray:
        """Query (size,) -> its centred cosine similarity to each row (rows,), float32."""
        direction = self._directions(query[None])[0]
        found = np.empty(len(self.embeddings), np.float32)
        for start, block in self._blocks():
            found[start : start + len(block)] = self._directions(block) @ direction
        return found

    def nearest(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Query (size,) -> the nearest rows, at most `count`, the best first, and their cosine similarities."""
        count = min(count, len(self.embeddings))
        if self.index is not None:
            scores, rows = self.index.search(self._directions(query[None]), count)
            return rows[0], scores[0]
        cosines = self.cosines(query)
        rows = np.argsort(-cosines, kind="stable")[:count]
        return rows, cosines[rows]

    def _blocks(self):
        for start in range(0, len(self.embeddings), ROWS_AT_ONCE):
            yield start, np.asarray(self.embeddings[start : start + ROWS_AT_ONCE], dtype=np.float32)

    def _directions(self, vectors: np.ndarray) -> np.ndarray:
        """Centred and of length 1; what equals the mean has no direction and stays 0."""
        centred = np.asarray(vectors, dtype=np.float32) - self.mean
        return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def similar(
    query: str | os.PathLike | Clip,
    collection: str | os.PathLike | Collection,
    top_k: int = 10,
    model: str | None = None,
    device: str | None = None,
) -> list[Neighbour]:
    """
    The sounds of a collection that are nearest to a sound, the best first. In a collection of frames
    (`--level frame`) these are moments as long as the query, which do not overlap; a moment's score is the mean of its
    frames' cosine similarities to the mean of the query's. The query itself is left out.

    Args:
        query: Sound file or [`Clip`].
        collection: What `ssast embed` or [`embed_collection`] wrote.
        top_k (`int`, defaults to 10): How many, at most.
        model (`str`, *optional*): Where the model of the collection is now; default: where it was then.
        device (`str`, *optional*): As for [`embed`].

    Raises:
        ValueError: The collection does not say what it was made with, or is one of patches; the model has changed
            since; the query cannot be read.
    """
    if top_k < 1:
        raise ValueError(f"`top_k` is {top_k}, expected 1 or more.")
    found = collection if isinstance(collection, Collection) else read_collection(collection)
    metadata = found.metadata
    if metadata is None:
        raise ValueError(
            f"{found.path} does not say which model its embeddings are of, as earlier versions wrote them: write them "
            "anew with `ssast embed --overwrite`"
        )
    if metadata["level"] == "patch":
        raise ValueError(f"{found.path} has embeddings of patches, expected those of clips or frames")
    clip = query if isinstance(query, Clip) else Clip(os.fsdecode(query))
    arrays = embed_as(clip, found, model, device)
    own = os.path.realpath(clip.path) if clip.member is None else None
    entries = [entry for entry in found.entries if "error" not in entry]
    others = [not (own and os.path.realpath(path_of(entry["file"])) == own) for entry in entries]
    neighbours = Neighbours(found.columns["embeddings"])
    if metadata["level"] == "frame":
        return _moments(neighbours, arrays, found.columns["time"], entries, others, top_k)
    owner = np.repeat(np.arange(len(entries)), [entry["rows"] for entry in entries])
    rows, scores = neighbours.nearest(arrays["embeddings"], top_k + others.count(False))
    return [
        Neighbour(entries[index]["file"], float(score), 0.0, entries[index].get("seconds"))
        for index, score in zip(owner[rows], scores)
        if others[index]
    ][:top_k]


def embed_as(
    clip: Clip, collection: Collection, model: str | None, device: str | None = None
) -> dict[str, np.ndarray]:
    """The embedding of a clip, made as those of the collection were."""
    made = collection.metadata
    assert made is not None
    name = model or made["model"]
    if not name:
        raise ValueError(f"{collection.path} does not say where its model is: give --model")
    extractor, loaded = load_on_device(name, lambda path: load_complete(SSASTModel, path), device)
    if checksum(loaded) != made["checksum"]:
        raise ValueError(f"{name} is not the model that {collection.path} was made with: its checksum is another")
    extractor = SSASTFeatureExtractor.from_dict(made["extractor"])
    clip = replace(clip, channel=made["channel"])
    ((_, arrays),) = embed(
        loaded.eval(), extractor, [clip], made["level"], layers=made["layers"], pooling=made["pooling"]
    )
    if isinstance(arrays, Exception):
        raise arrays
    return arrays


def _moments(
    neighbours: Neighbours, query: dict, time: np.ndarray, entries: list[dict], others: list[bool], top_k: int
) -> list[Neighbour]:
    """Stretches of as many frames as the query has, the best first, without overlaps."""
    cosines = neighbours.cosines(query["embeddings"].mean(axis=0))
    found: list[Neighbour] = []
    for entry, other in zip(entries, others):
        if not other:
            continue
        rows = slice(entry["row"], entry["row"] + entry["rows"])
        starts, length = time[rows], min(len(query["time"]), entry["rows"])
        sums = np.cumsum(np.concatenate([[0.0], cosines[rows]], dtype=np.float64))
        scores = (sums[length:] - sums[:-length]) / length
        for _ in range(top_k):
            best = int(scores.argmax())
            if not np.isfinite(scores[best]):
                break
            last = best + length
            end = float(starts[last]) if last < len(starts) else entry["seconds"]
            found.append(Neighbour(entry["file"], float(scores[best]), float(starts[best]), end))
            scores[max(0, best - length + 1) : best + length] = -np.inf
    return sorted(found, key=lambda neighbour: -neighbour.score)[:top_k]


def clip_of(neighbour: Neighbour, seconds: float) -> Clip | None:
    """At most so many seconds of a neighbour's sound, if its file is there."""
    path = path_of(neighbour.file)
    if not Path(path).is_file():
        return None
    offset = 0.0
    if path != neighbour.file:
        offset = float(neighbour.file[len(path) :].removeprefix("#t=").split(",")[0])
    left = seconds if neighbour.end is None else min(seconds, neighbour.end - neighbour.start)
    return Clip(path, offset=offset + neighbour.start, duration=left)
