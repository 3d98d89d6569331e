"""Random histories through Qdrant's own Python client: its in-memory mode against a running Sealpoint over gRPC.

    .venv/bin/python test/compat/differential.py 127.0.0.1:6334 [--seed N] [--rounds N] [--seconds S] [--rest 6333]

Each round makes a collection in both, then mixes writes with reads and compares every answer; each comparison is a case. The seed is printed; a
difference ends the run with the round's history. Round R of seed S is replayed by --seed S --only R.

Where the in-memory mode is known to differ from the server, the server is followed:
- it has no payload indexes: we create them at random, since an index must not change an answer;
- it ends a search at score_threshold with `<=`, the server keeps a score that equals the threshold: thresholds lie between two scores here;
- equal scores come in another order: ranks are compared by score, and each id by its own score;
- it normalizes its vectors anew between the two sides of a context pair, so a pair of one point with itself is ranked by rounding: pairs are of two;
- a date that it cannot read and a polygon that crosses itself are left out (see test/filter/oracle.py, which makes the filters);
- a range compares an integer exactly with a double there, while the server first turns the integer into a double: integers stay below 2^53 here.
"""

import argparse
import json
import math
import random
import sys
import time
import uuid
import warnings
from pathlib import Path

import grpc
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

sys.path.insert(0, str(Path(__file__).parents[1] / "filter"))
import oracle  # noqa: E402

from ordered import OrderedReads  # noqa: E402
from query_trees import QueryTrees  # noqa: E402
from tree_stages import TreeStages  # noqa: E402

oracle.INTEGERS = [0, 1, 2, 3, -1, 7, 2**52 + 1, -(2**40)]

TOLERANCE = 1e-4
DISTANCES = [models.Distance.COSINE, models.Distance.DOT, models.Distance.EUCLID, models.Distance.MANHATTAN]
INDEXES = ["keyword", "integer", "float", "bool", "datetime", "uuid", "geo"]
ALL = 10_000


class Difference(Exception):
    pass


def plain(value):
    """A comparable form of an answer's payload, with 1 and 1.0 kept apart."""
    return json.dumps(value, sort_keys=True)


def close(ours, theirs):
    return abs(ours - theirs) <= TOLERANCE * max(1.0, abs(theirs))


class SparseParams:
    """A sparse vector among the named ones; `size` is of its dimensions."""

    size = 12

    def __init__(self, idf):
        self.config = models.SparseVectorParams(modifier=models.Modifier.IDF if idf else None)


def same_vectors(ours, theirs):
    if isinstance(ours, models.SparseVector) and isinstance(theirs, models.SparseVector):
        return ours.indices == theirs.indices and same_vectors(ours.values, theirs.values)
    if isinstance(ours, dict) or isinstance(theirs, dict):
        ours, theirs = ours or {}, theirs or {}
        return ours.keys() == theirs.keys() and all(same_vectors(ours[name], theirs[name]) for name in theirs)
    if ours is None or theirs is None:
        return ours is None and theirs is None
    if len(ours) != len(theirs):
        return False
    return all(same_vectors(a, b) if isinstance(b, list) else close(a, b) for a, b in zip(ours, theirs))


class Round(QueryTrees, TreeStages, OrderedReads):
    difference = Difference

    def __init__(self, server, rng, number):
        self.server, self.rng = server, rng
        self.local = QdrantClient(":memory:")
        self.name = f"differential-{number}-{rng.randrange(2**32):08x}"
        self.history = []
        self.cases = 0
        self.ids = list(range(1, 26)) + [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(10)] + [2**63 + 5, 2**64 - 1]
        self.named = rng.random() < 0.5
        names = rng.sample(["image", "text", "überall", "c d"], rng.randrange(1, 4)) if self.named else [""]
        self.params = {name: models.VectorParams(size=rng.choice([1, 2, 3, 8, 33]), distance=rng.choice(DISTANCES)) for name in names}
        if self.named and rng.random() < 0.7:
            self.params["words"] = SparseParams(rng.random() < 0.6)

    def run(self, steps):
        dense = {name: params for name, params in self.params.items() if not self.is_sparse(name)}
        sparse = {name: params.config for name, params in self.params.items() if self.is_sparse(name)}
        config = {"vectors_config": dense if self.named else dense[""], "sparse_vectors_config": sparse or None}
        self.history.append(f"create {config}")
        for client in (self.local, self.server):
            client.create_collection(self.name, **config)
        try:
            self.index_typed_keys()
            self.write(self.upsert)
            writes = [
                self.upsert, self.upsert, self.conditional_upsert, self.set_payload, self.set_payload, self.overwrite_payload, self.delete_payload, self.clear_payload,
                self.delete, self.update_vectors, self.delete_vectors, self.create_index, self.batch_update,
            ]  # fmt: skip
            reads = [self.query, self.query, self.query, self.scroll, self.scroll, self.count, self.retrieve, self.query_batch]
            reads += [self.query_tree, self.query_tree, self.query_tree, self.query_tree_groups]
            reads += [self.ordered_scroll, self.ordered_scroll, self.ordered_query, self.facet, self.facet]
            for _ in range(steps):
                if self.rng.random() < 0.35:
                    self.write(self.rng.choice(writes))
                else:
                    self.rng.choice(reads)()
            self.compare_all()
        finally:
            self.server.delete_collection(self.name)

    @staticmethod
    def near(ours, theirs):
        return close(ours, theirs)

    def is_sparse(self, name):
        return isinstance(self.params[name], SparseParams)

    # -- what is random

    def vector(self, name):
        if self.is_sparse(name):
            # In any order, as the client may send them.
            indices = self.rng.sample(range(self.params[name].size), self.rng.randrange(1, 7))
            return models.SparseVector(indices=indices, values=[self.rng.uniform(-0.5, 2) for _ in indices])
        while True:
            data = np.array([self.rng.uniform(-1, 1) for _ in range(self.params[name].size)], dtype=np.float32)
            # The direction of a very short vector is noise under Cosine.
            if np.linalg.norm(data) > 0.05:
                return data.tolist()

    def vectors(self):
        if not self.named:
            return self.vector("")
        return {name: self.vector(name) for name in self.params if self.rng.random() < 0.8}

    def payload(self, empty=0.15):
        if self.rng.random() < empty:
            return {}
        typed = self.typed_payload() if self.rng.random() < 0.8 else {}
        return {**{key: oracle.random_value(self.rng, 2) for key in oracle.KEYS if self.rng.random() < 0.7}, **typed}

    def filter(self, chance=0.6):
        if self.rng.random() >= chance:
            return None
        made = models.Filter(**oracle.random_filter(self.rng, 2))
        if self.rng.random() < 0.15:
            made.must = [*(made.must or []), models.HasIdCondition(has_id=self.some_ids())]
        if self.rng.random() < 0.15:
            total = self.rng.choice([1, 2, 3, 7])
            condition = models.SliceCondition(slice=models.Slice(total=total, index=self.rng.randrange(total)))
            clause = self.rng.choice(["must", "must_not", "should"])
            setattr(made, clause, [*(getattr(made, clause) or []), condition])
        return made

    def some_ids(self, most=6):
        return self.rng.sample(self.ids, self.rng.randrange(1, most))

    def present_ids(self, most=6):
        """Ids of points that are there, at times some that are not: then the others are written and NOT_FOUND is answered."""
        present = [record.id for record in self.local.scroll(self.name, limit=ALL, with_payload=False)[0]]
        if not present or self.rng.random() < 0.1:
            return self.some_ids(most)
        return self.rng.sample(present, min(len(present), self.rng.randrange(1, most)))

    def selector(self):
        if self.rng.random() < 0.4:
            return models.FilterSelector(filter=self.filter(1.0))
        return models.PointIdsList(points=self.present_ids())

    # -- writes

    def both(self, what, *details):
        """Runs a write on both; both succeed or both refuse."""
        self.history.append(f"{what} {details!r}")
        outcomes = []
        for client in (self.local, self.server):
            try:
                getattr(client, what)(self.name, *[dict(d) if isinstance(d, dict) else d for d in details[:-1]], **details[-1])
                outcomes.append(None)
            except grpc.RpcError as error:
                outcomes.append(f"{error.code().name}: {error.details()}")
                if error.code() not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                    raise Difference(f"{what}: {outcomes[-1]}") from error
            except UnexpectedResponse as error:
                outcomes.append(f"{error.status_code}: {error.content!r}")
                if error.status_code not in (400, 404, 422):
                    raise Difference(f"{what}: {outcomes[-1]}") from error
            except Exception as error:
                outcomes.append(f"{type(error).__name__}: {error}")
        if (outcomes[0] is None) != (outcomes[1] is None):
            raise Difference(f"{what}: the oracle says {outcomes[0]}, the server {outcomes[1]}")
        self.cases += 1

    def write(self, action):
        action()
        if self.rng.random() < 0.3:
            self.compare_all()

    def upsert(self):
        points = [models.PointStruct(id=i, vector=self.vectors(), payload=self.payload()) for i in self.some_ids(20)]
        self.both("upsert", {"points": points, "wait": True})

    def conditional_upsert(self):
        points = [models.PointStruct(id=i, vector=self.vectors(), payload=self.payload()) for i in self.some_ids(20)]
        self.both("upsert", {"points": points, **self.condition(), "wait": True})

    def condition(self):
        condition = {"update_filter": self.filter(0.7), "update_mode": self.rng.choice([None, *models.UpdateMode])}
        return {name: value for name, value in condition.items() if value is not None}

    def set_payload(self):
        key = self.rng.choice(["a", "b", "a.b", "a[].b", "b[0]", "c.d", '"d e"', "b[]"]) if self.rng.random() < 0.4 else None
        self.both("set_payload", {"payload": self.payload(), "points": self.selector(), "key": key, "wait": True})

    def overwrite_payload(self):
        self.both("overwrite_payload", {"payload": self.payload(), "points": self.selector(), "wait": True})

    def delete_payload(self):
        keys = self.rng.sample(["a", "b", "c", "a.b", "a[].b", "b[].c", "a[]", "a[0].b", "a[0]"], self.rng.randrange(1, 3))
        self.both("delete_payload", {"keys": keys, "points": self.selector(), "wait": True})

    def clear_payload(self):
        self.both("clear_payload", {"points_selector": self.selector(), "wait": True})

    def delete(self):
        self.both("delete", {"points_selector": self.selector(), "wait": True})

    def update_vectors(self):
        points = []
        for point_id in self.present_ids():
            vectors = self.vectors()
            if vectors:
                points.append(models.PointVectors(id=point_id, vector=vectors))
        if points:
            self.both("update_vectors", {"points": points, "update_filter": self.filter(0.3), "wait": True})

    def delete_vectors(self):
        names = self.rng.sample(sorted(self.params), self.rng.randrange(1, len(self.params) + 1))
        selector = self.selector()
        if isinstance(selector, models.PointIdsList):
            present = [record.id for record in self.local.retrieve(self.name, selector.points, with_payload=False)]
            # A missing point alone is an error in both; among others it is not (see the header).
            if present:
                selector = models.PointIdsList(points=present)
            else:
                selector = models.PointIdsList(points=selector.points[:1])
        self.both("delete_vectors", {"vectors": names, "points": selector, "wait": True})

    def create_index(self):
        field, schema = self.rng.choice(oracle.PATHS), self.rng.choice(INDEXES)
        self.history.append(f"index {field} {schema}")
        self.server.create_payload_index(self.name, field, field_schema=schema, wait=True)

    def batch_update(self):
        operations = []
        for _ in range(self.rng.randrange(1, 5)):
            kind = self.rng.randrange(6)
            points = self.present_ids(3)
            if kind == 0:
                struct = [models.PointStruct(id=i, vector=self.vectors(), payload=self.payload()) for i in points]
                operations.append(models.UpsertOperation(upsert=models.PointsList(points=struct, **self.condition())))
            elif kind == 1:
                operations.append(models.SetPayloadOperation(set_payload=models.SetPayload(payload=self.payload(), points=points)))
            elif kind == 2:
                operations.append(models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload=self.payload(), points=points)))
            elif kind == 3:
                operations.append(models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["a"], points=points)))
            elif kind == 4:
                operations.append(models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=points)))
            else:
                operations.append(models.DeleteOperation(delete=models.PointIdsList(points=self.some_ids(3))))
        # Deletes last, so that no other operation misses their points.
        operations.sort(key=lambda operation: isinstance(operation, models.DeleteOperation))
        self.both("batch_update_points", {"update_operations": operations, "wait": True})

    # -- reads

    def selectors(self):
        with_payload = self.rng.choice([True, True, False, ["a", "b[].c"], ["a.b"], models.PayloadSelectorExclude(exclude=["a[].b", "c"])])
        with_vectors = self.rng.choice([True, True, False, list(self.params)[:1]]) if self.named else self.rng.random() < 0.6
        return {"with_payload": with_payload, "with_vectors": with_vectors}

    def same_point(self, ours, theirs, what):
        # An empty payload and none are the same bytes over gRPC.
        if plain(ours.payload or {}) != plain(theirs.payload or {}):
            raise Difference(f"{what}: payload of {ours.id!r}: server {plain(ours.payload)}, oracle {plain(theirs.payload)}")
        if not same_vectors(ours.vector or None, theirs.vector or None):
            raise Difference(f"{what}: vectors of {ours.id!r}: server {ours.vector}, oracle {theirs.vector}")

    def random_query(self):
        using = self.rng.choice(sorted(self.params))
        arguments = {"using": using or None, "query_filter": self.filter(), "limit": self.rng.choice([1, 3, 10, 100])}
        if self.rng.random() < 0.1:
            arguments["query"] = None
            arguments["using"] = None
        else:
            arguments["query"] = self.vector(using)
        if self.rng.random() < 0.3:
            arguments["offset"] = self.rng.randrange(8)
        return {**arguments, **self.selectors()}

    def all_of(self, arguments):
        return self.local.query_points(self.name, **{**arguments, "limit": ALL, "offset": 0}).points

    def query(self):
        arguments = self.random_query()
        if arguments["query"] is not None and self.rng.random() < 0.3:
            scores = [hit.score for hit in self.all_of(arguments)]
            gaps = [(a + b) / 2 for a, b in zip(scores, scores[1:]) if abs(a - b) > 0.01]
            if gaps:
                arguments["score_threshold"] = self.rng.choice(gaps)
        if arguments["query"] is not None and self.rng.random() < 0.15:
            arguments["search_params"] = models.SearchParams(exact=True)
        self.history.append(f"query {arguments!r}")
        self.check_hits(self.server.query_points(self.name, **arguments).points, arguments)

    def query_batch(self):
        several = [self.random_query() for _ in range(self.rng.randrange(1, 4))]
        self.history.append(f"query batch {several!r}")
        requests = []
        for arguments in several:
            renamed = {"query_filter": "filter", "with_vectors": "with_vector"}
            requests.append(models.QueryRequest(**{renamed.get(key, key): value for key, value in arguments.items()}))
        answers = self.server.query_batch_points(self.name, requests=requests)
        if len(answers) != len(several):
            raise Difference(f"query batch: {len(answers)} answers to {len(several)} queries")
        for answer, arguments in zip(answers, several):
            self.check_hits(answer.points, arguments)

    def check_hits(self, hits, arguments):
        self.cases += 1
        everything = self.all_of(arguments)
        offset, limit = arguments.get("offset", 0), arguments["limit"]
        wanted = everything[offset : offset + limit]
        seen = f"server {[(hit.id, hit.score) for hit in hits]}, oracle {[(hit.id, hit.score) for hit in wanted]}"
        if len(hits) != len(wanted) or len({hit.id for hit in hits}) != len(hits):
            raise Difference(f"query: {len(hits)} hits, {len(wanted)} expected: {seen}")
        by_id = {hit.id: hit for hit in everything}
        for rank, (hit, want) in enumerate(zip(hits, wanted)):
            twin = by_id.get(hit.id)
            if twin is None:
                raise Difference(f"query: {hit.id!r} does not match: {seen}")
            if arguments["query"] is None:
                if hit.id != want.id:
                    raise Difference(f"query without a vector: order: {seen}")
            elif not close(hit.score, want.score) or not close(hit.score, twin.score) or math.isnan(hit.score):
                raise Difference(f"query: rank {rank}: {seen}")
            self.same_point(hit, twin, "query")

    def scroll(self):
        arguments = {"scroll_filter": self.filter(), "limit": self.rng.choice([1, 4, 10, 100]), **self.selectors()}
        if self.rng.random() < 0.4:
            arguments["offset"] = self.rng.choice(self.ids)
        self.history.append(f"scroll {arguments!r}")
        self.check_records(arguments)

    def check_records(self, arguments):
        self.cases += 1
        ours, our_next = self.server.scroll(self.name, **arguments)
        theirs, their_next = self.local.scroll(self.name, **arguments)
        if [record.id for record in ours] != [record.id for record in theirs] or our_next != their_next:
            raise Difference(f"scroll: server {[r.id for r in ours]} {our_next!r}, oracle {[r.id for r in theirs]} {their_next!r}")
        for record, twin in zip(ours, theirs):
            self.same_point(record, twin, "scroll")

    def compare_all(self):
        self.history.append("compare all")
        self.check_records({"limit": ALL, "with_payload": True, "with_vectors": True})

    def count(self):
        chosen = self.filter(0.9)
        self.history.append(f"count {chosen!r}")
        self.cases += 1
        ours, theirs = (client.count(self.name, count_filter=chosen, exact=True).count for client in (self.server, self.local))
        if ours != theirs:
            raise Difference(f"count: server {ours}, oracle {theirs}")

    def retrieve(self):
        arguments = {"ids": self.some_ids(8), **self.selectors()}
        self.history.append(f"retrieve {arguments!r}")
        self.cases += 1
        ours, theirs = ({r.id: r for r in client.retrieve(self.name, **arguments)} for client in (self.server, self.local))
        if ours.keys() != theirs.keys():
            raise Difference(f"retrieve: server {list(ours)}, oracle {list(theirs)}")
        for point_id, record in ours.items():
            self.same_point(record, theirs[point_id], "retrieve")


def main(kind=Round):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rest", type=int, help="the HTTP port: all goes over REST")
    parser.add_argument("--only", type=int, help="one round of that number")
    options = parser.parse_args()
    # The in-memory mode warns that it has no payload indexes.
    warnings.filterwarnings("ignore", message="Local mode|Payload indexes")
    print(f"seed {options.seed}", flush=True)
    host, port = options.target.rsplit(":", 1)
    if options.rest is None:
        server = QdrantClient(host=host, grpc_port=int(port), prefer_grpc=True, check_compatibility=False)
    else:
        server = QdrantClient(host=host, port=options.rest, check_compatibility=False, timeout=60)
    begun, cases, number = time.monotonic(), 0, 0
    rounds = [options.only] if options.only is not None else range(options.rounds)
    for number in rounds:
        if time.monotonic() - begun > options.seconds:
            break
        tried = kind(server, random.Random(f"{options.seed}/{number}"), number)
        try:
            tried.run(options.steps)
        except Exception as error:
            print("\n".join(tried.history[-40:]), file=sys.stderr)
            print(f"\nseed {options.seed} round {number}: {type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        cases += tried.cases
    print(f"{cases} cases agree, seed {options.seed}")


if __name__ == "__main__":
    main()
