"""A server in this process, of the generated stubs: keeps what arrives as it arrives, and cuts streams on demand."""

import secrets
from concurrent import futures

import grpc

from sealpoint.gen.qdrant import points_pb2, points_service_pb2_grpc
from sealpoint.gen.sealpoint.v1 import ingest_pb2, ingest_pb2_grpc, s5_pb2, s5_pb2_grpc, sealing_pb2, sealing_pb2_grpc
from sealpoint.seal import SEALED_KEY


def key_of(point_id):
    return point_id.num if point_id.WhichOneof("point_id_options") == "num" else point_id.uuid


class FakeServer(
    points_service_pb2_grpc.PointsServicer,
    ingest_pb2_grpc.IngestServicer,
    sealing_pb2_grpc.SealingServicer,
    s5_pb2_grpc.S5Servicer,
):
    def __init__(self):
        self.points = {}
        self.sealing_ids = {}
        self.requests = []
        self.calls = []
        self.policy_calls = 0
        self.streams = {}
        # How many chunks each connection takes before it is cut; a connection without an entry is not cut.
        self.cuts = []
        self.connections = 0

    def __enter__(self):
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        for add in (
            points_service_pb2_grpc.add_PointsServicer_to_server,
            ingest_pb2_grpc.add_IngestServicer_to_server,
            sealing_pb2_grpc.add_SealingServicer_to_server,
            s5_pb2_grpc.add_S5Servicer_to_server,
        ):
            add(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None)

    def sealing_id(self, collection):
        return self.sealing_ids.setdefault(collection, secrets.token_bytes(16))

    def _store(self, collection, points):
        stored = self.points.setdefault(collection, {})
        for point in points:
            stored[key_of(point.id)] = point

    def Upsert(self, request, context):
        self.requests.append(request)
        self._store(request.collection_name, request.points)
        return points_pb2.PointsOperationResponse()

    def _set(self, request, replace):
        for point_id in request.points_selector.points.ids:
            payload = self.points[request.collection_name][key_of(point_id)].payload
            before = list(payload[SEALED_KEY].list_value.values) if SEALED_KEY in payload and not replace else []
            if replace:
                payload.clear()
            for key in request.payload:
                payload[key].CopyFrom(request.payload[key])
            if before and SEALED_KEY in request.payload:
                after = list(request.payload[SEALED_KEY].list_value.values)
                del payload[SEALED_KEY].list_value.values[:]
                payload[SEALED_KEY].list_value.values.extend(before + after)

    def SetPayload(self, request, context):
        self.requests.append(request)
        self._set(request, False)
        return points_pb2.PointsOperationResponse()

    def OverwritePayload(self, request, context):
        self.requests.append(request)
        self._set(request, True)
        return points_pb2.PointsOperationResponse()

    def UpdateBatch(self, request, context):
        self.requests.append(request)
        answer = points_pb2.UpdateBatchResponse()
        for number, operation in enumerate(request.operations):
            if operation.WhichOneof("operation") == "upsert":
                self._store(request.collection_name, operation.upsert.points)
            answer.result.add(operation_id=number)
        return answer

    def Get(self, request, context):
        found = [self.points[request.collection_name][key_of(point_id)] for point_id in request.ids]
        return points_pb2.GetResponse(result=[self._retrieved(point) for point in found])

    def _retrieved(self, point):
        return points_pb2.RetrievedPoint(id=point.id, payload=point.payload)

    def _scored(self, point):
        return points_pb2.ScoredPoint(id=point.id, payload=point.payload, score=0.5)

    def Query(self, request, context):
        return points_pb2.QueryResponse(
            result=[self._scored(point) for point in self.points.get(request.collection_name, {}).values()]
        )

    def QueryBatch(self, request, context):
        answer = points_pb2.QueryBatchResponse()
        for _ in request.query_points:
            answer.result.add(result=self.Query(request, context).result)
        return answer

    def QueryGroups(self, request, context):
        answer = points_pb2.QueryGroupsResponse()
        for point in self.points[request.collection_name].values():
            group = answer.result.groups.add(hits=[self._scored(point)])
            for other in self.points.get(request.with_lookup.collection, {}).values():
                group.lookup.CopyFrom(self._retrieved(other))
        return answer

    def GetPolicy(self, request, context):
        self.policy_calls += 1
        answer = sealing_pb2.GetPolicyResponse()
        answer.state.sealing_id = self.sealing_id(request.collection_name)
        answer.state.accepted_sealing_ids.append(answer.state.sealing_id)
        answer.state.policy.mode = 3
        # A dishonest policy: clients must not take recipients or clear fields from it.
        answer.state.policy.clear_fields.append("secret")
        return answer

    def Scroll(self, request, context):
        points = list(self.points[request.collection_name].values())
        for at in range(0, len(points), request.page_size):
            yield ingest_pb2.ScrollResponse(points=[self._retrieved(p) for p in points[at : at + request.page_size]])

    def BulkUpsert(self, request_iterator, context):
        start = next(request_iterator).start
        name = (start.collection_name, start.stream_id)
        self.connections += 1
        left = self.cuts.pop(0) if self.cuts else None
        last = self.streams.setdefault(name, 0)
        yield ingest_pb2.BulkUpsertResponse(
            started=ingest_pb2.BulkUpsertStarted(
                last_applied_sequence=last, chunk_points_max=10_000, bytes_in_flight_max=1 << 24
            )
        )
        for request in request_iterator:
            chunk = request.chunk
            if left == 0:
                # Applied, but the connection ends before the acknowledgement: the worst moment.
                self._apply(name, chunk)
                context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            left = None if left is None else left - 1
            applied = self._apply(name, chunk)
            yield ingest_pb2.BulkUpsertResponse(
                ack=ingest_pb2.BulkUpsertAck(
                    sequence=chunk.sequence,
                    durable_sequence=self.streams[name],
                    applied=applied,
                    points_applied=len(chunk.points) if applied else 0,
                )
            )

    def _apply(self, name, chunk):
        if chunk.sequence <= self.streams[name]:
            return False
        assert chunk.sequence == self.streams[name] + 1, "a gap"
        self.requests.append(chunk)
        self._store(name[0], chunk.points)
        self.streams[name] = chunk.sequence
        return True

    def Load(self, request, context):
        self.calls.append(request)
        yield s5_pb2.LoadResponse(manifest_downloaded=s5_pb2.ManifestDownloaded(name="db", chunks=1))
        yield s5_pb2.LoadResponse(chunk_downloaded=s5_pb2.ChunkDownloaded(chunk_id=0, total=1, percent=100))
        yield s5_pb2.LoadResponse(loading_complete=s5_pb2.LoadingComplete(vector_count=3))
