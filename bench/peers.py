"""One peer of bench/sections/peers.ts on the data set: builds (M 16, efConstruction 128, one thread), then measures a pass of all queries for each
line of standard input, which holds an ef. Prints one JSON object for the build and one for each pass.

    python bench/peers.py PEER DATA FOLDER
"""

import json
import os
import pathlib
import resource
import sys
import time

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS", "TOKIO_WORKER_THREADS")})
import numpy as np

DIMENSIONS, M, CONSTRUCT, K = 384, 16, 128, 10
peer, data, folder = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])


def read(name: str) -> np.ndarray:
    values = np.fromfile(data / name, dtype=np.float16).reshape(-1, DIMENSIONS).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def cpu() -> float:
    return time.process_time()


def anonymous_mb() -> float:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def faiss_peer(rows, factory):
    import faiss

    faiss.omp_set_num_threads(1)
    index = factory(faiss)
    index.hnsw.efConstruction = CONSTRUCT
    if not index.is_trained:
        index.train(rows)
    index.add(rows)

    def search(query, ef):
        index.hnsw.efSearch = ef
        return index.search(query[None], K)[1][0]

    return search


def hnswlib_peer(rows):
    import hnswlib

    index = hnswlib.Index("ip", DIMENSIONS)
    index.init_index(len(rows), M=M, ef_construction=CONSTRUCT)
    index.set_num_threads(1)
    index.add_items(rows)

    def search(query, ef):
        index.set_ef(ef)
        return index.knn_query(query, K)[0][0]

    return search


def usearch_peer(rows):
    from usearch.index import Index

    index = Index(ndim=DIMENSIONS, metric="ip", dtype="f16", connectivity=M, expansion_add=CONSTRUCT)
    index.add(np.arange(len(rows)), rows, threads=1)

    def search(query, ef):
        index.expansion_search = ef
        return index.search(query, K, threads=1).keys

    return search


def edge_peer(rows, quantized):
    import qdrant_edge as edge

    params = {}
    if quantized:
        params["quantization_config"] = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(DIMENSIONS, edge.Distance.Cosine, hnsw_config=edge.HnswIndexConfig(M, CONSTRUCT, 10, 1), **params),
        optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1),
        max_search_threads=1,
    )
    shard = edge.EdgeShard.create(str(folder), config)
    for first in range(0, len(rows), 1000):
        points = [edge.Point(i, rows[i].tolist()) for i in range(first, min(len(rows), first + 1000))]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()
    rescore = edge.QuantizationSearchParams(rescore=True) if quantized else None

    def search(query, ef):
        request = edge.SearchRequest(
            edge.Query.Nearest(query.tolist()), K, params=edge.SearchParams(hnsw_ef=ef, quantization=rescore)
        )
        return [hit.id for hit in shard.search(request)]

    return search


def chroma_peer(rows):
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient

    client = chromadb.PersistentClient(str(folder))
    hnsw = {"space": "ip", "max_neighbors": M, "ef_construction": CONSTRUCT, "num_threads": 1}
    opened = [client.create_collection("bench", configuration={"hnsw": hnsw})]
    for first in range(0, len(rows), 5000):
        chunk = rows[first : first + 5000]
        opened[0].add(ids=[str(i) for i in range(first, first + len(chunk))], embeddings=chunk)

    def search(query, ef):
        return [int(i) for i in opened[0].query(query_embeddings=query[None], n_results=K, include=[])["ids"][0]]

    def prepare(ef):
        # A collection that is open keeps the ef that it was opened with.
        opened[0].modify(configuration={"hnsw": {"ef_search": ef}})
        SharedSystemClient.clear_system_cache()
        opened[0] = chromadb.PersistentClient(str(folder)).get_collection("bench")

    search.prepare = prepare
    return search


def lance_peer(rows):
    import lancedb
    import pyarrow

    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.ravel()), DIMENSIONS)
    table = lancedb.connect(str(folder)).create_table("bench", pyarrow.table({"id": np.arange(len(rows)), "vector": vectors}))
    table.create_index(metric="dot", index_type="IVF_HNSW_SQ", num_partitions=1, m=M, ef_construction=CONSTRUCT)

    def search(query, ef):
        found = table.search(query).distance_type("dot").ef(max(ef, 2 * K)).refine_factor(2).limit(K).select(["id"]).to_arrow()
        return found["id"].to_numpy()

    return search


def milvus_peer(rows):
    # Vectors that are not flushed, or were after the load, are compared one by one: all of them into one segment with its graph.
    os.environ["MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES"] = os.environ["MILVUS_LITE_WAL_SIZE_LIMIT_BYTES"] = str(1 << 40)
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(str(folder / "milvus.db"))
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSIONS)
    client.create_collection("bench", schema=schema)
    for first in range(0, len(rows), 1000):
        client.insert("bench", [{"id": i, "vector": rows[i]} for i in range(first, min(len(rows), first + 1000))])
    client.flush("bench")
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": M, "efConstruction": CONSTRUCT})
    client.create_index("bench", index)
    client.load_collection("bench")

    def search(query, ef):
        hits = client.search("bench", data=[query], limit=K, search_params={"params": {"ef": ef}})
        return [hit["id"] for hit in hits[0]]

    return search


PEERS = {
    "faiss-cpu HNSWFlat": lambda rows: faiss_peer(rows, lambda faiss: faiss.IndexHNSWFlat(DIMENSIONS, M, faiss.METRIC_INNER_PRODUCT)),
    "faiss-cpu HNSWSQ8": lambda rows: faiss_peer(
        rows, lambda faiss: faiss.IndexHNSWSQ(DIMENSIONS, faiss.ScalarQuantizer.QT_8bit, M, faiss.METRIC_INNER_PRODUCT)
    ),
    "hnswlib": hnswlib_peer,
    "usearch f16": usearch_peer,
    "qdrant-edge float": lambda rows: edge_peer(rows, False),
    "qdrant-edge int8 + rescore": lambda rows: edge_peer(rows, True),
    "chromadb": chroma_peer,
    "milvus-lite": milvus_peer,
    "lancedb": lance_peer,
}


QUERIES_MIN, PASS_SECONDS_MAX = 100, 1.0


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    rows, queries = read("vectors.f16"), read("queries.f16")
    truth = np.fromfile(data / "neighbors.u32", dtype="<u4").reshape(-1, 100)[:, :K]
    folder.mkdir(parents=True, exist_ok=True)
    before, memory = cpu() + children_cpu(), anonymous_mb()
    search = PEERS[peer](rows)
    build = cpu() + children_cpu() - before
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    print(json.dumps({"build_cpu_s": build, "memory_mb": anonymous_mb() - memory, "disk_mb": disk}), flush=True)
    count = min(len(queries), int(os.environ.get("PEER_QUERIES", "1000")))
    prepared = None
    for line in sys.stdin:
        ef, found = int(line), []
        if hasattr(search, "prepare") and ef != prepared:
            search.prepare(ef)
            prepared = ef
        start = cpu()
        for query in queries[:count]:
            found.append(search(query, ef))
            # A peer that takes milliseconds is measured well enough by fewer queries.
            if len(found) >= QUERIES_MIN and cpu() - start > PASS_SECONDS_MAX:
                break
        used = cpu() - start
        right = sum(len(set(map(int, ids)) & set(map(int, best))) for ids, best in zip(found, truth))
        print(json.dumps({"recall": right / (len(found) * K), "us": used * 1e6 / len(found)}), flush=True)


main()
