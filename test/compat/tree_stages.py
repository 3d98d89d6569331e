"""Judges a tree of queries stage by stage, for query_trees.py: where scores nearly tie, rounding turns ranks round, and ranks that are fused carry that on.

Each stage is asked for on its own. A leaf is held against the in-memory mode; what merges is computed again from the server's own lists below it,
so that only the rounding of that one stage is left, and a rank is free only among scores that are equal but for rounding.
"""

from qdrant_client import models
from qdrant_client.hybrid.fusion import distribution_based_score_fusion

EVERYTHING = 1_000
ROUNDING = 1e-6


def mentioned(query, prefetches):
    """Ids that stand for vectors anywhere in a tree: Qdrant leaves them out of all its stages."""
    found = set()

    def add(value):
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            found.add(value)

    if isinstance(query, models.NearestQuery):
        add(query.nearest)
    elif isinstance(query, models.RecommendQuery):
        for example in [*(query.recommend.positive or []), *(query.recommend.negative or [])]:
            add(example)
    elif isinstance(query, (models.DiscoverQuery, models.ContextQuery)):
        inner = query.discover if isinstance(query, models.DiscoverQuery) else query
        if isinstance(query, models.DiscoverQuery):
            add(inner.target)
        for pair in inner.context:
            add(pair.positive)
            add(pair.negative)
    elif isinstance(query, models.RelevanceFeedbackQuery):
        add(query.relevance_feedback.target)
        for item in query.relevance_feedback.feedback:
            add(item.example)
    for one in prefetches or []:
        found |= mentioned(one.query, one.prefetch)
    return found


def narrowed(query_filter, must=(), must_not=()):
    """The filter with more conditions; the given one stays as it is."""
    made = query_filter.model_copy() if query_filter else models.Filter()
    for clause, more in (("must", must), ("must_not", must_not)):
        held = getattr(made, clause) or []
        setattr(made, clause, [*(held if isinstance(held, list) else [held]), *more] or None)
    return made


def without_ids(query_filter, ids):
    return narrowed(query_filter, must_not=[models.HasIdCondition(has_id=sorted(ids, key=str))]) if ids else query_filter


def merged(outer, inner):
    """As Qdrant merges a stage's filter into those of its prefetches: clause by clause, so that two `should` become one."""
    if not outer or not inner:
        return outer or inner
    made = models.Filter()
    for clause in ("must", "must_not", "should"):
        both = [getattr(one, clause) or [] for one in (outer, inner)]
        setattr(made, clause, [condition for held in both for condition in (held if isinstance(held, list) else [held])] or None)
    made.min_should = inner.min_should or outer.min_should
    if outer.min_should and inner.min_should:
        least = max(outer.min_should.min_count, inner.min_should.min_count)
        made.min_should = models.MinShould(conditions=[*outer.min_should.conditions, *inner.min_should.conditions], min_count=least)
    return made


def ranges_of_ranks(hits):
    """By id, the first and the last rank that a point may have among scores that are equal but for rounding."""
    ranks, first = {}, 0
    for place in range(1, len(hits) + 1):
        ends = place == len(hits)
        if ends or abs(hits[place].score - hits[place - 1].score) > ROUNDING * max(1.0, abs(hits[place].score)):
            ranks.update({hit.id: (first, place - 1) for hit in hits[first:place]})
            first = place
    return ranks


class TreeStages:
    """Mixed into differential.Round beside QueryTrees."""

    def check_stages(self, what, arguments, hits):
        query, prefetches = arguments["query"], arguments.get("prefetch")
        held = without_ids(arguments.get("query_filter"), mentioned(query, prefetches))
        root = models.Prefetch(query=query, using=arguments.get("using"), prefetch=prefetches, params=arguments.get("search_params"))
        self.check_stage(what, root, held, hits)

    def asked(self, client, stage, held, prefetch=None):
        return client.query_points(
            self.name, query=stage.query, using=stage.using, prefetch=prefetch, search_params=stage.params,
            query_filter=held, limit=EVERYTHING, with_payload=False,
        ).points  # fmt: skip

    def check_stage(self, what, stage, held, hits):
        """`held`: the filters down to this stage, as one."""
        if not stage.prefetch:
            self.same_ranking(hits, self.asked(self.local, stage, held), f"{what}: leaf")
            return
        lists = []
        for below in stage.prefetch:
            inner = merged(held, below.filter)
            found = self.asked(self.server, below, inner, below.prefetch)
            self.check_stage(what, below, inner, found)
            lists.append(found)
        if isinstance(stage.query, models.FusionQuery) and stage.query.fusion == models.Fusion.DBSF:
            copies = [[hit.model_copy() for hit in found] for found in lists]
            self.same_ranking(hits, distribution_based_score_fusion(copies, EVERYTHING), f"{what}: dbsf")
        elif isinstance(stage.query, (models.FusionQuery, models.RrfQuery)):
            self.check_rrf(what, stage.query.rrf.k if isinstance(stage.query, models.RrfQuery) else 2, lists, hits)
        else:
            ids = sorted({hit.id for found in lists for hit in found}, key=str)
            among = narrowed(held, must=[models.HasIdCondition(has_id=ids)])
            self.same_ranking(hits, self.asked(self.local, stage, among), f"{what}: rescored")

    def check_rrf(self, what, k, lists, hits):
        least, most = {}, {}
        for found in lists:
            for point, (first, last) in ranges_of_ranks(found).items():
                least[point] = least.get(point, 0) + 1 / (last + k)
                most[point] = most.get(point, 0) + 1 / (first + k)
        if {hit.id for hit in hits} != least.keys() or len(hits) != len(least):
            raise self.difference(f"{what}: rrf of {len(least)} points has {len(hits)}")
        for place, hit in enumerate(hits):
            if not least[hit.id] - ROUNDING <= hit.score <= most[hit.id] + ROUNDING:
                raise self.difference(f"{what}: rrf: {hit.id!r} has {hit.score}, not from {least[hit.id]} to {most[hit.id]}")
            if place > 0 and hit.score > hits[place - 1].score:
                raise self.difference(f"{what}: rrf: {hit.id!r} stands below a lesser score")
