"""Random ordered reads, facets and slices for differential.py.

The in-memory mode orders and counts values of every type that it meets, the server those of the key's index: so the keys here hold values of one type.
Equal values come by id (descending when the order is), which the in-memory mode leaves open: its answer is sorted so before it is compared.
"""

import uuid

from qdrant_client import models

EVERYTHING = 10_000
TYPED = {"num": "integer", "flo": "float", "day": "datetime", "tag": "keyword", "uid": "uuid", "flag": "bool"}
ORDERED = ["num", "flo", "day"]
DAYS = ["2023-02-08T10:49:00Z", "2023-02-08", "2024-01-01T00:00:00+02:00", "1969-12-31T23:59:59.5Z", "2023-02-08T10:49:00.000001Z"]
UUIDS = [uuid.UUID(int=n * 0x0123456789ABCDEF0123456789ABCDEF % 2**128) for n in range(1, 6)]


def id_order(point_id):
    return (0, point_id, "") if isinstance(point_id, int) else (1, 0, point_id)


class OrderedReads:
    """Mixed into differential.Round, which brings rng, local, server, name, filter(), history and same_point()."""

    def index_typed_keys(self):
        for key, schema in TYPED.items():
            self.server.create_payload_index(self.name, key, field_schema=schema, wait=True)

    def typed_value(self, key):
        rng = self.rng
        one = {
            "num": lambda: rng.choice([0, 1, 2, 3, -5, 2**52, -(2**40)]),
            "flo": lambda: rng.choice([0.5, -1.5, 2, 3, 1e300, -0.0, 0]),
            "day": lambda: rng.choice(DAYS),
            "tag": lambda: rng.choice(["red", "green", "überall", "", "Red"]),
            "uid": lambda: rng.choice([str, lambda u: u.hex, lambda u: str(u).upper()])(rng.choice(UUIDS)),
            "flag": lambda: rng.random() < 0.5,
        }[key]
        return one() if rng.random() < 0.7 else [one() for _ in range(rng.randrange(4))]

    def typed_payload(self):
        return {key: self.typed_value(key) for key in TYPED if self.rng.random() < 0.6}

    def order_by(self):
        rng = self.rng
        key = rng.choice(ORDERED)
        direction = rng.choice([None, models.Direction.ASC, models.Direction.DESC])
        start = None
        if rng.random() < 0.5:
            start = rng.choice(DAYS) if key == "day" else rng.choice([0, 1, 2, -5, 0.5, 2.5, 1e19, -1e19, 2**52])
        return models.OrderBy(key=key, direction=direction, start_from=start)

    def in_order(self, records, order):
        """The oracle's answer, equal values by id."""
        sign = -1 if order.direction == models.Direction.DESC else 1
        by_id = sorted(records, key=lambda record: id_order(record.id), reverse=sign < 0)
        return sorted(by_id, key=lambda record: sign * record.order_value)

    def ordered_scroll(self):
        order, chosen = self.order_by(), self.filter()
        arguments = {"scroll_filter": chosen, "order_by": order, **self.selectors()}
        limit = self.rng.choice([1, 3, 10, EVERYTHING])
        self.history.append(f"ordered scroll {arguments!r} limit {limit}")
        ours, offset = self.server.scroll(self.name, limit=limit, **arguments)
        theirs, _ = self.local.scroll(self.name, limit=EVERYTHING, **arguments)
        if offset is not None:
            raise self.difference(f"ordered scroll: next offset {offset!r}")
        self.same_order(ours, self.in_order(theirs, order)[:limit], "ordered scroll")

    def ordered_query(self):
        order, chosen = self.order_by(), self.filter()
        limit, offset = self.rng.choice([1, 3, 10, EVERYTHING]), self.rng.choice([0, 0, 2])
        arguments = {"query": models.OrderByQuery(order_by=order), "query_filter": chosen, **self.selectors()}
        if self.rng.random() < 0.4:
            inner = models.Filter(must=[models.HasIdCondition(has_id=self.some_ids(20))])
            arguments["prefetch"] = [models.Prefetch(filter=inner, limit=EVERYTHING), models.Prefetch(filter=self.filter(1.0), limit=EVERYTHING)]
        self.history.append(f"ordered query {arguments!r} limit {limit} offset {offset}")
        ours = self.server.query_points(self.name, limit=limit, offset=offset, **arguments).points
        theirs = self.local.query_points(self.name, limit=EVERYTHING, **arguments).points
        self.same_order(ours, self.in_order(theirs, order)[offset : offset + limit], "ordered query")

    def same_order(self, ours, theirs, what):
        self.cases += 1
        mine, wanted = ([(record.id, record.order_value) for record in records] for records in (ours, theirs))
        if mine != wanted:
            raise self.difference(f"{what}: server {mine}, oracle {wanted}")
        for record, twin in zip(ours, theirs):
            self.same_point(record, twin, what)

    def facet(self):
        arguments = {"key": self.rng.choice(["num", "tag", "uid", "flag"]), "facet_filter": self.filter(), "limit": self.rng.choice([1, 3, 10, 100])}
        self.history.append(f"facet {arguments!r}")
        self.cases += 1
        ours, theirs = (
            [(hit.value, hit.count) for hit in client.facet(self.name, exact=self.rng.random() < 0.5, **arguments).hits] for client in (self.server, self.local)
        )
        if ours != theirs or [type(value) for value, _ in ours] != [type(value) for value, _ in theirs]:
            raise self.difference(f"facet: server {ours}, oracle {theirs}")
