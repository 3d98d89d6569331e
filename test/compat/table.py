"""The common table (table.json) through Qdrant's own Python client: a line `name TAB answer` for each row.

    .venv/bin/python test/compat/table.py 127.0.0.1:6334 [6333, then over REST]
"""

import json
import sys

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as qdrant_grpc


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    over_rest = len(sys.argv) > 2
    if over_rest:
        client = QdrantClient(host=host, port=int(sys.argv[2]), timeout=30)
    else:
        client = QdrantClient(host=host, grpc_port=int(port), prefer_grpc=True, check_compatibility=False, timeout=30)
    name = "table-python-rest" if over_rest else "table-python-grpc"
    odd = models.Filter(must=[models.FieldCondition(key="tag", match=models.MatchValue(value="odd"))])
    order = models.OrderBy(key="n", direction=models.Direction.DESC)
    ids = lambda points: ",".join(str(point.id) for point in points)  # noqa: E731
    ordered = lambda points: ",".join(f"{point.id}:{point.order_value}" for point in points)  # noqa: E731
    query = lambda **arguments: client.query_points(name, **arguments).points  # noqa: E731

    def version():
        if over_rest:
            return client.info().title
        # The client itself compares versions over REST only.
        return qdrant_grpc.QdrantStub(grpc.insecure_channel(sys.argv[1])).HealthCheck(qdrant_grpc.HealthCheckRequest()).title

    def upsert():
        points = [models.PointStruct(id=n, vector=[n, 1], payload={"n": n, "tag": "odd" if n % 2 else "even"}) for n in range(1, 7)]
        return client.upsert(name, points, wait=True).status.value

    def indexes():
        client.create_payload_index(name, "n", field_schema="integer", wait=True)
        return client.create_payload_index(name, "tag", field_schema="keyword", wait=True).status.value

    def scroll():
        points, offset = client.scroll(name, limit=3)
        return f"{ids(points)} then {offset}"

    def groups():
        found = client.query_points_groups(name, query=[1.0, 0.0], group_by="tag", limit=2, group_size=1).groups
        return ",".join(f"{group.id}:{ids(group.hits)}" for group in found)

    def payload():
        client.set_payload(name, {"more": "x"}, points=[1], wait=True)
        return ",".join(sorted(client.retrieve(name, [1])[0].payload))

    def delete():
        client.delete(name, points_selector=models.FilterSelector(filter=odd), wait=True)
        return ids(client.scroll(name)[0])

    def error():
        try:
            client.count("nowhere")
        except Exception as thrown:  # noqa: BLE001
            return thrown.details() if hasattr(thrown, "details") else json.loads(thrown.content)["status"]["error"]
        return "accepted"

    def fusion():
        prefetch = [models.Prefetch(query=[1.0, 0.0], limit=3), models.Prefetch(query=[1.0, 0.0], filter=odd, limit=3)]
        return ids(query(prefetch=prefetch, query=models.FusionQuery(fusion=models.Fusion.RRF), limit=3))

    def recommend():
        return ids(query(query=models.RecommendQuery(recommend=models.RecommendInput(positive=[6])), limit=3))

    part = models.Filter(must=[models.SliceCondition(slice=models.Slice(total=2, index=0))])
    text = lambda value: str(value).lower()  # noqa: E731
    rows = {
        "version": version,
        "create a collection": lambda: text(client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))),
        "collection exists": lambda: text(client.collection_exists(name)),
        "upsert": upsert,
        "payload indexes": indexes,
        "count": lambda: str(client.count(name).count),
        "query: nearest": lambda: ids(query(query=[1.0, 0.0], limit=3)),
        "query: filter": lambda: ids(query(query=[1.0, 0.0], query_filter=odd)),
        "query: prefetch and fusion": fusion,
        "query: recommend": recommend,
        "query: order_by": lambda: ordered(query(query=models.OrderByQuery(order_by=order), limit=2)),
        "query: groups": groups,
        "search": lambda: ids(client.search(name, query_vector=[1.0, 0.0], limit=2)) if hasattr(client, "search") else "-",
        "scroll": scroll,
        "scroll: order_by": lambda: ordered(client.scroll(name, order_by=order, limit=3)[0]),
        "scroll: slice": lambda: ids(client.scroll(name, scroll_filter=part)[0]),
        "facet": lambda: ",".join(f"{hit.value}={hit.count}" for hit in client.facet(name, key="tag").hits),
        "set payload and get": payload,
        "delete by filter": delete,
        "an error's text": error,
        "delete a collection": lambda: text(client.delete_collection(name)),
    }
    for title, run in rows.items():
        print(f"{title}\t{run()}", flush=True)


if __name__ == "__main__":
    main()
