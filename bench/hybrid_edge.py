"""qdrant-edge-py beside our engine, for bench/hybrid-pair.ts: loads the data set with payloads, payload indexes and the sparse vectors that WORDS
holds (bench/hybrid-engine.ts writes it), then answers each line of standard input, a JSON object, with one. CPU is the process's, all threads.

    python bench/hybrid_edge.py DATA FOLDER WORDS
"""

import gzip
import json
import os
import pathlib
import resource
import shutil
import sys
import tarfile
import time

import numpy as np
import qdrant_edge as edge

DIMENSIONS, M, CONSTRUCT, PREFETCH, K, PAGE = 384, 16, 128, 100, 10, 1000
data, folder, words = (pathlib.Path(argument) for argument in sys.argv[1:4])


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def read_vectors(name: str) -> np.ndarray:
    return np.fromfile(data / name, dtype=np.float16).reshape(-1, DIMENSIONS).astype(np.float32)


def read_words() -> tuple[int, list[edge.SparseVector]]:
    """How many of them are documents', and those with the queries' after them."""
    counts = np.fromfile(words / "counts.u32", dtype="<u4")
    indices = np.fromfile(words / "indices.u32", dtype="<u4")
    values = np.fromfile(words / "values.f32", dtype="<f4")
    ends = np.cumsum(counts[1:], dtype=np.int64)
    starts = ends - counts[1:]
    return int(counts[0]), [edge.SparseVector(indices[a:b].tolist(), values[a:b].tolist()) for a, b in zip(starts, ends)]


def read_filters() -> dict[str, edge.Filter]:
    path = data / "filters.json"
    filters = json.loads((path if path.exists() else data / "answers.json").read_text())["filters"]
    return {one["name"]: edge.Filter(must=[condition(**one["where"])]) for one in filters}


def condition(field: str, op: str, value) -> edge.FieldCondition:
    if op == "lte":
        return edge.FieldCondition(field, range=edge.RangeFloat(lte=value))
    return edge.FieldCondition(field, match=edge.MatchValue(value))


def make(documents: int, sparse: list[edge.SparseVector]) -> edge.EdgeShard:
    codes = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
    # The threshold of a full scan is Qdrant's default, in KB: as ours, it scans what few points a filter leaves.
    graph = edge.HnswIndexConfig(M, CONSTRUCT, 10_000, os.cpu_count())
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(DIMENSIONS, edge.Distance.Cosine, hnsw_config=graph, quantization_config=codes),
        sparse_vectors={"words": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1),
        max_search_threads=1,
    )
    folder.mkdir(parents=True)
    shard = edge.EdgeShard.create(str(folder / "shard"), config)
    shard.update(edge.UpdateOperation.create_field_index("lexname", edge.PayloadSchemaType.Keyword))
    shard.update(edge.UpdateOperation.create_field_index("n_words", edge.PayloadSchemaType.Integer))
    rows = read_vectors("vectors.f16")[:documents]
    with gzip.open(data / "payloads.jsonl.gz", "rt", encoding="utf-8") as lines:
        points = []
        for row, vector in enumerate(rows):
            payload = json.loads(lines.readline())
            points.append(edge.Point(payload.pop("id"), {"": vector.tolist(), "words": sparse[row]}, payload))
            if len(points) == PAGE or row + 1 == len(rows):
                shard.update(edge.UpdateOperation.upsert_points(points))
                points = []
    shard.optimize()
    shard.flush()
    return shard


RESCORED = edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True))
FLOATS = edge.SearchParams(quantization=edge.QuantizationSearchParams(ignore=True))


class Beside:
    def __init__(self) -> None:
        self.documents, sparse = read_words()
        self.shard = make(self.documents, sparse)
        self.filters = read_filters()
        self.queries = [(vector.tolist(), word) for vector, word in zip(read_vectors("queries.f16"), sparse[self.documents :])]

    def ask(self, vector, word, condition, params=RESCORED):
        parts = [
            edge.Prefetch(PREFETCH, query=edge.Query.Nearest(vector), filter=condition, params=params),
            edge.Prefetch(PREFETCH, query=edge.Query.Nearest(word, using="words"), filter=condition),
        ]
        return self.shard.query(edge.QueryRequest(K, query=edge.Fusion.Rrf(2), prefetches=parts, with_payload=True))

    def hybrid(self, filter: str, count: int, floats: bool):
        asked, condition, params = [], self.filters[filter], FLOATS if floats else RESCORED
        start = cpu()
        for vector, word in self.queries[:count]:
            asked.append(self.ask(vector, word, condition, params))
        used = cpu() - start
        if not all(hit.payload for hits in asked for hit in hits):
            raise RuntimeError("a point without a payload")
        return {"us": used * 1e6 / len(asked), "ids": [[hit.id for hit in hits] for hits in asked]}

    def scroll(self):
        seen, offset, start, used = 0, None, time.perf_counter(), cpu()
        while True:
            records, offset = self.shard.scroll(edge.ScrollRequest(offset=offset, limit=PAGE, with_payload=True))
            seen += len(records)
            if offset is None:
                break
        if seen != self.documents:
            raise RuntimeError(f"{seen} of {self.documents} points")
        return {"per_second": seen / (time.perf_counter() - start), "us": (cpu() - used) * 1e6 / seen}

    def open(self):
        self.shard.close()
        start = time.perf_counter()
        self.shard = edge.EdgeShard.load(str(folder / "shard"))
        self.ask(*self.queries[0], None)
        return {"seconds": time.perf_counter() - start}

    def snapshot(self):
        """It reads Qdrant's snapshots but writes none: its flushed folder in a tar file, which has their form, synced as ours are."""
        path, copy = folder / "shard.snapshot", folder / "copy"
        start = time.perf_counter()
        self.shard.flush()
        with open(path, "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.add(folder / "shard", arcname=".")
            file.flush()
            os.fsync(file.fileno())
        created, size = time.perf_counter(), path.stat().st_size
        edge.EdgeShard.unpack_snapshot(str(path), str(copy))
        restored = edge.EdgeShard.load(str(copy))
        ended = time.perf_counter()
        count = restored.count(edge.CountRequest())
        restored.close()
        shutil.rmtree(copy)
        path.unlink()
        if count != self.documents:
            raise RuntimeError(f"{count} of {self.documents} points restored")
        return {"create": created - start, "restore": ended - created, "megabytes": size / 1e6}


def main() -> None:
    beside = Beside()
    print(json.dumps({"documents": beside.documents}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(beside, order.pop("do"))(**order)), flush=True)


main()
