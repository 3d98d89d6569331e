"""Random universal queries for differential.py: prefetch trees, fusion, recommend, discover, context, feedback, MMR, formula, groups.

Limits of prefetches cut lists at random, and where equal scores stand at the cut the two sides may keep different points. So each query is
repeated with limits that cut nothing: those answers are compared. Cut ones are compared in what does not depend on the choice among equals.
"""

from qdrant_client import models

from tree_stages import mentioned, without_ids

EVERYTHING = 1_000


class QueryTrees:
    """Mixed into differential.Round, which brings rng, local, server, params, vector(), filter(), present_ids() and close."""

    def stored_ids(self, using, count):
        condition = models.Filter(must=[models.HasVectorCondition(has_vector=using)])
        found = [record.id for record in self.local.scroll(self.name, limit=EVERYTHING, with_payload=False, scroll_filter=condition)[0]]
        return self.rng.sample(found, min(len(found), count))

    def example(self, using):
        ids = self.stored_ids(using, 1)
        return ids[0] if ids and self.rng.random() < 0.5 else self.vector(using)

    def pair(self, using):
        positive, negative = self.example(using), self.example(using)
        return models.ContextPair(positive=positive, negative=self.vector(using) if negative == positive else negative)

    def leaf(self, untied=False):
        """Context scores are often equal (0), so where ranks are fused (`untied`) there are none of them."""
        names = [name for name in sorted(self.params) if not untied or self.params[name].size > 1] or sorted(self.params)
        using = self.rng.choice(names)
        several = lambda most: [self.example(using) for _ in range(self.rng.randrange(1, most))]  # noqa: E731
        pairs = lambda: [self.pair(using) for _ in range(self.rng.randrange(1, 3))]  # noqa: E731
        kind = self.rng.choice([0, 1, 2, 3, 5, 6] if untied else [0, 1, 2, 3, 4, 5, 6])
        # The in-memory mode has feedback for dense vectors only; feedback.py has the others.
        if kind == 6 and (self.is_sparse(using) or using in getattr(self, "multi", ())):
            kind = 5
        if kind == 0:
            query = models.NearestQuery(nearest=self.example(using))
        elif kind == 1:
            query = models.RecommendQuery(recommend=models.RecommendInput(positive=several(3), negative=several(3) if self.rng.random() < 0.6 else None))
        elif kind == 2:
            strategy = self.rng.choice([models.RecommendStrategy.BEST_SCORE, models.RecommendStrategy.SUM_SCORES])
            query = models.RecommendQuery(recommend=models.RecommendInput(positive=several(3), negative=several(3), strategy=strategy))
        elif kind == 3:
            query = models.DiscoverQuery(discover=models.DiscoverInput(target=self.example(using), context=pairs()))
        elif kind == 4:
            query = models.ContextQuery(context=pairs())
        elif kind == 6:
            items = [models.FeedbackItem(example=self.example(using), score=self.rng.choice([0.1, 0.5, 0.9])) for _ in range(self.rng.randrange(1, 4))]
            naive = models.NaiveFeedbackStrategyParams(a=self.rng.choice([0.2, 1]), b=self.rng.choice([0, 0.7]), c=self.rng.choice([0.1, 1]))
            strategy = models.NaiveFeedbackStrategy(naive=naive)
            query = models.RelevanceFeedbackQuery(
                relevance_feedback=models.RelevanceFeedbackInput(target=self.example(using), feedback=items, strategy=strategy)
            )
        else:
            query = models.NearestQuery(nearest=self.vector(using))
        return query, using or None

    def idf_corpus(self, using):
        """At times the points among which a sparse query's dimensions are counted."""
        if using is None or not self.is_sparse(using) or self.rng.random() < 0.5:
            return None
        return models.SearchParams(idf=models.IdfCorpusParams(corpus=self.filter(1.0)))

    def prefetches(self, depth):
        made = []
        for _ in range(self.rng.randrange(1, 4)):
            if depth > 1 and self.rng.random() < 0.4:
                query, using = self.merger()
                inner = self.prefetches(depth - 1)
            else:
                (query, using), inner = self.leaf(untied=True), None
            params = self.idf_corpus(using)
            made.append(models.Prefetch(prefetch=inner, query=query, using=using, filter=self.filter(0.4), params=params, limit=EVERYTHING))
        return made

    def merger(self):
        kind = self.rng.randrange(4)
        if kind == 0:
            return models.FusionQuery(fusion=models.Fusion.RRF), None
        if kind == 1:
            return models.RrfQuery(rrf=models.Rrf(k=self.rng.choice([1, 2, 60]))), None
        if kind == 2:
            return models.FusionQuery(fusion=models.Fusion.DBSF), None
        return self.leaf(untied=True)

    def expression(self, depth=3):
        rng = self.rng
        if depth == 0 or rng.random() < 0.25:
            return rng.choice(["$score", "$score[1]", rng.choice([0.5, 2.0, -1.0, 3.0]), models.FieldCondition(key="a", match=models.MatchValue(value=1))])
        inner = lambda: self.expression(depth - 1)  # noqa: E731
        return rng.choice(
            [
                lambda: models.SumExpression(sum=[inner(), inner()]),
                lambda: models.MultExpression(mult=[inner(), inner()]),
                lambda: models.NegExpression(neg=inner()),
                lambda: models.AbsExpression(abs=inner()),
                lambda: models.SqrtExpression(sqrt=models.AbsExpression(abs=inner())),
                lambda: models.DivExpression(div=models.DivParams(left=inner(), right=inner(), by_zero_default=1.0)),
                lambda: models.ExpDecayExpression(exp_decay=models.DecayParamsExpression(x=inner(), target=1.0, scale=2.0)),
                lambda: models.GaussDecayExpression(gauss_decay=models.DecayParamsExpression(x=inner(), scale=1.5, midpoint=0.25)),
                lambda: models.LinDecayExpression(lin_decay=models.DecayParamsExpression(x=inner(), scale=3.0)),
            ]
        )()

    def query_tree(self):
        arguments = {"query_filter": self.filter(0.4), "limit": EVERYTHING, "with_payload": False}
        kind = self.rng.random()
        if kind < 0.35:
            arguments["query"], arguments["using"] = self.leaf()
            arguments["search_params"] = self.idf_corpus(arguments["using"])
        elif kind < 0.75 and all(params.size > 1 for params in self.params.values()):
            # Vectors of one dimension are all alike under Cosine.
            arguments["query"], arguments["using"] = self.merger()
            arguments["prefetch"] = self.prefetches(2)
        elif kind < 0.9:
            arguments["query"] = models.FormulaQuery(formula=self.expression())
            arguments["prefetch"] = self.prefetches(1)
        else:
            using = self.rng.choice(sorted(self.params))
            mmr = models.Mmr(diversity=self.rng.choice([0.0, 0.3, 0.7]), candidates_limit=EVERYTHING)
            arguments["query"], arguments["using"] = models.NearestQuery(nearest=self.vector(using), mmr=mmr), using or None
        self.compare_trees("query_points", arguments, lambda answer: answer.points)

    def query_tree_groups(self):
        query, using = self.leaf()
        arguments = {"query": query, "using": using, "query_filter": self.filter(0.3), "group_by": self.rng.choice(["a", "b", "c"])}
        arguments.update(limit=EVERYTHING, group_size=self.rng.choice([1, 2, 5]), with_payload=False)
        self.compare_trees("query_points_groups", arguments, lambda answer: [hit for group in answer.groups for hit in group.hits], self.same_groups)

    def compare_trees(self, what, arguments, hits_of, also=None):
        self.history.append(f"{what} {arguments!r}")
        self.cases += 1
        answers = []
        for client in (self.local, self.server):
            # Qdrant leaves the examples of the whole tree out of all its stages, the in-memory mode those of a stage out of that one.
            held = arguments.get("query_filter")
            own = {**arguments, "query_filter": without_ids(held, mentioned(None, arguments.get("prefetch")))} if client is self.local else arguments
            try:
                answers.append(getattr(client, what)(self.name, **own))
            except Exception as error:  # noqa: BLE001
                answers.append(error)
        theirs, ours = answers
        if isinstance(theirs, Exception) != isinstance(ours, Exception):
            raise self.difference(f"{what}: oracle {theirs!r}, server {ours!r}")
        if isinstance(theirs, Exception):
            return
        if also is not None:
            also(ours, theirs)
            return
        try:
            self.same_ranking(hits_of(ours), hits_of(theirs), what)
        except self.difference:
            # Fused ranks turn round where scores below nearly tie; then the stages are judged one by one.
            if not arguments.get("prefetch") or isinstance(arguments["query"], models.FormulaQuery):
                raise
            self.check_stages(what, arguments, hits_of(ours))

    def same_ranking(self, ours, theirs, what):
        seen = f"server {[(hit.id, hit.score) for hit in ours]}, oracle {[(hit.id, hit.score) for hit in theirs]}"
        if len(ours) != len(theirs):
            raise self.difference(f"{what}: {len(ours)} hits, {len(theirs)} expected: {seen}")
        scores = {hit.id: hit.score for hit in theirs}
        for hit, want in zip(ours, theirs):
            if hit.id not in scores or not self.near(hit.score, want.score) or not self.near(hit.score, scores[hit.id]):
                raise self.difference(f"{what}: {hit.id!r}: {seen}")

    def same_groups(self, ours, theirs):
        mine = {(type(group.id).__name__, group.id): group.hits for group in ours.groups}
        for group in theirs.groups:
            hits = mine.pop((type(group.id).__name__, group.id), None)
            if hits is None or len(hits) != len(group.hits):
                raise self.difference(f"groups: {group.id!r}: server {hits}, oracle {group.hits}")
            for hit, want in zip(hits, group.hits):
                if not self.near(hit.score, want.score):
                    raise self.difference(f"groups: {group.id!r}: server {hits}, oracle {group.hits}")
        if mine:
            raise self.difference(f"groups: only at the server: {list(mine)}")
