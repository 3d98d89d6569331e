"""differential.py with multivectors: each named vector may be one, the others are dense. Beside what that one does, each round ends with what the in-memory mode
cannot say: dense queries of multivectors, rescored prefetches, examples of another collection, and what is refused.

    .venv/bin/python test/compat/multivectors.py 127.0.0.1:6334 [--seed N] [--rounds N] [--seconds S] [--rest 6333]

Of a multivector and a dense query the server must say what it says of the same query as a multivector of one.
"""

import grpc
import numpy as np
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from differential import ALL, DISTANCES, Difference, Round, close, main

MAX_SIM = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
FLAT = models.HnswConfigDiff(m=0)


class MultiRound(Round):
    def __init__(self, server, rng, number):
        super().__init__(server, rng, number)
        self.params = {}
        names = rng.sample(["image", "text", "überall", "c d"], rng.randrange(1, 4)) if self.named else [""]
        self.multi = {name for name in names if rng.random() < 0.7} or {names[0]}
        for name in names:
            # With few dimensions many scores are equal under Cosine.
            size, distance = rng.choice([3, 4, 8, 33]), rng.choice(DISTANCES)
            extra = {"multivector_config": MAX_SIM, "on_disk": rng.choice([None, True]), "hnsw_config": rng.choice([None, FLAT])} if name in self.multi else {}
            self.params[name] = models.VectorParams(size=size, distance=distance, **extra)

    def vector(self, name):
        if name not in self.multi:
            return super().vector(name)
        return [super(MultiRound, self).vector(name) for _ in range(self.rng.choice([1, 1, 2, 3, 5, 17, 40]))]

    def compare_all(self):
        super().compare_all()
        name = self.rng.choice(sorted(self.multi))
        for check in (self.dense_query, self.rescore, self.lookup, self.refusals):
            check(name)

    def hits(self, **arguments):
        return [(hit.id, hit.score) for hit in self.server.query_points(self.name, limit=arguments.pop("limit", ALL), with_payload=False, **arguments).points]

    def same(self, what, ours, theirs):
        self.cases += 1
        # Equal scores may stand in another order.
        if len(ours) != len(theirs) or any(not close(a[1], b[1]) for a, b in zip(ours, theirs)):
            raise Difference(f"{what}: {ours} and {theirs}")

    def dense_query(self, name):
        row = super().vector(name)
        self.same("dense query", self.hits(query=row, using=name or None), self.hits(query=[row], using=name or None))

    def rescore(self, name):
        """The rescored prefetch holds the points of the prefetch with their scores for the multivector."""
        first = self.rng.choice(sorted(self.params))
        query, prefetched = self.vector(name), self.vector(first)
        ids = [hit[0] for hit in self.hits(query=prefetched, using=first or None, limit=7)]
        among = models.Filter(must=[models.HasIdCondition(has_id=ids)])
        theirs = self.local.query_points(self.name, query=query, using=name or None, query_filter=among, limit=4, with_payload=False).points
        prefetch = models.Prefetch(query=prefetched, using=first or None, limit=7)
        self.same("rescored prefetch", self.hits(prefetch=prefetch, query=query, using=name or None, limit=4), [(hit.id, hit.score) for hit in theirs])

    def lookup(self, name):
        """A point of another collection asks with its vector."""
        other, rows = f"{self.name}-other", self.vector(name)
        params = models.VectorParams(size=self.params[name].size, distance=self.params[name].distance, multivector_config=MAX_SIM)
        self.server.create_collection(other, vectors_config={"there": params})
        try:
            self.server.upsert(other, [models.PointStruct(id=7, vector={"there": rows})], wait=True)
            where = models.LookupLocation(collection=other, vector="there")
            self.same("lookup_from", self.hits(query=7, using=name or None, lookup_from=where), self.hits(query=rows, using=name or None))
        finally:
            self.server.delete_collection(other)

    def refusals(self, name):
        size = self.params[name].size
        whole = [0.5] * size
        dense = [other for other in self.params if other not in self.multi]
        bad = [([whole, whole[:-1]], name), ([whole + [1.0]], name), ([whole, []], name)]
        if dense:
            bad.append(([[0.5] * self.params[dense[0]].size] * 2, dense[0]))
        for rows, into in bad:
            vector = {into: rows} if self.named else rows
            for what, call in (
                ("upsert", lambda: self.server.upsert(self.name, [models.PointStruct(id=1, vector=vector)], wait=True)),
                ("query", lambda: self.server.query_points(self.name, query=rows, using=into or None)),
            ):
                self.cases += 1
                try:
                    call()
                except grpc.RpcError as error:
                    if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                        continue
                    raise
                except UnexpectedResponse as error:
                    if error.status_code in (400, 422):
                        continue
                    raise
                raise Difference(f"{what}: {rows} into {into!r} was taken")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main(MultiRound)
