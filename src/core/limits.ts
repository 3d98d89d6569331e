/** Every bound of the server stands here, with its unit and its reason. */
export const limits = {
  /** Seconds between two looks at the TLS files: a new certificate is in use within a minute. */
  tlsReloadSecondsDefault: 60,
  /** About what Node's timers can count to (2^31 ms). */
  tlsReloadSecondsMax: 2_000_000,
  /** Bytes of one gRPC message. Qdrant has no cap; 64 MiB holds 10,000 points of 1,536 dimensions and bounds a reader's memory. */
  messageBytesMax: 64 * 1024 * 1024,
  /** Bytes of one REST body, unpacked: Qdrant's default. */
  restBodyBytesMax: 32 * 1024 * 1024,
  /** Larger REST bodies are read on a thread of their own; and bytes of those that wait for it together. */
  restBodyBytesInline: 256 * 1024,
  restBodyBytesWaitingMax: 512 * 1024 * 1024,
  /** Shorter REST answers are not packed: it would cost more than it saves. */
  restPackedBytesMin: 4 * 1024,
  /** Characters of a REST answer that are joined, packed and sent at a time; longer answers go out in pieces. */
  restPieceChars: 64 * 1024,
  /** Points in one unary write. */
  pointsPerRequestMax: 100_000,
  /** Characters of a collection's or alias's name: Qdrant's limit, and a file name's. */
  collectionNameLengthMax: 255,
  /** Dimensions of a dense vector: Qdrant's limit. */
  vectorDimensionsMax: 65_536,
  vectorNamesMax: 64,
  vectorNameLengthMax: 200,
  /** UTF-8 bytes of a shard key, which is kept in the name of a hidden vector. */
  shardKeyBytesMax: 180,
  /** Levels of lists and structs in a payload; the recursion of every reader is bounded by it. */
  payloadDepthMax: 128,
  /** Bytes of one point's encoded payload. */
  payloadBytesMax: 16 * 1024 * 1024,
  /** Levels of nested filters. */
  filterDepthMax: 32,
  /** Conditions in one filter, all levels together. */
  filterConditionsMax: 10_000,
  /** Values of one match_any or match_except, points of one polygon: each is compared with every candidate's values. */
  filterValuesMax: 100_000,
  /** UTF-8 bytes of the text of one match by text, phrase or prefix. */
  filterTextBytesMax: 65_536,
  /** Stop words of one text index's own, of 64 bytes on average. */
  stopwordsMax: 10_000,
  /** UTF-8 bytes of a payload key in a filter, selector or index. */
  jsonPathBytesMax: 4_096,
  /** Keys and brackets of one such path; a payload is no deeper. */
  jsonPathItemsMax: 128,
  /** Ids in one has_id condition or one Get. */
  idsPerRequestMax: 1_000_000,
  /** Points of one answer. */
  answerPointsMax: 1_000_000,
  /** Bytes that one partial update may take when it is sealed for each of its points: that many copies are held at once. */
  sealedUpdateBytesMax: 256 * 1024 * 1024,
  /** Searches in one batch. */
  searchesPerBatchMax: 10_000,
  /** hnsw_ef of one search: more is a scan. */
  efMax: 100_000,
  /** Levels of prefetches in one query, and prefetches in it, all levels together. */
  prefetchDepthMax: 16,
  prefetchesMax: 256,
  /** Examples of one recommendation, pairs of one context: each is compared with every candidate. */
  examplesMax: 1_024,
  /** Candidates of one MMR query: it compares each pair of them. Qdrant's limit. */
  mmrCandidatesMax: 16_384,
  /** Points of one distance matrix: each is searched with. */
  matrixSampleMax: 10_000,
  /** Levels and nodes of one formula: it is evaluated for each candidate. */
  expressionDepthMax: 64,
  expressionsMax: 1_024,
  /** Values of one sparse vector; vectors of one multivector. */
  sparseValuesMax: 1_000_000,
  multiVectorRowsMax: 65_536,
  /** Values of all vectors of one multivector together are fewer. Qdrant's limit. */
  multiVectorValuesEnd: 1_048_576,
  /** UTF-16 units of texts that become BM25 vectors on the event loop (some 100 us), and of those that go to a native thread at a time. */
  bm25InlineBytes: 8 * 1024,
  bm25PieceBytes: 512 * 1024,
  /** Stop words that one document may bring. */
  bm25StopwordsMax: 10_000,
  /** Documents, images and objects of one request that a model has to make vectors of. */
  inferenceInputsMax: 100_000,
  /** Of those, how many are handed to the models at a time: the event loop is free in between. */
  inferenceSlice: 2_000,
  /** Of a provider of models: one request may take so long, and holds so many inputs; so many go at a time and are tried again. */
  inferenceTimeoutMsDefault: 10_000,
  inferenceTimeoutMsMax: 600_000,
  inferenceBatchDefault: 32,
  inferenceBatchMax: 2_048,
  inferenceParallelDefault: 4,
  inferenceParallelMax: 64,
  inferenceRetriesDefault: 2,
  inferenceRetriesMax: 10,
  /** Before the first further try; twice as long before each next one. */
  inferenceBackoffMs: 200,
  inferenceModelsMax: 256,
  /** Of models on this machine: threads that run them, texts that one run takes, tokens of a text that count. */
  onnxThreadsMax: 64,
  onnxBatchMax: 256,
  onnxTokensMax: 8_192,
  /** UTF-16 units of a text that are looked at: a model's limit in tokens is far below. */
  onnxTextCharsMax: 128 * 1024,
  /** Texts that a thread is given at a time, and that wait for all threads. */
  onnxPieceTexts: 32,
  onnxTextsWaitingMax: 20_000,
  inferenceAnswerBytesMax: 64 * 1024 * 1024,
  /** Envelopes on one point; the next partial update is refused with advice to overwrite. */
  envelopesPerPointMax: 8,
  /** Points of one stream chunk. */
  streamChunkPointsMax: 10_000,
  /**
   * Bytes that one ingest stream may have accepted and not yet acknowledged; back-pressure starts there. Twenty chunks of 256 x 384: more
   * would not make it faster, but fill memory that the garbage collector then has to look after.
   */
  streamBytesInFlightMax: 8 * 1024 * 1024,
  /** Chunks that one ingest stream may have accepted and not yet acknowledged. */
  streamChunksInFlightMax: 64,
  /** Of those, chunks that are in the engine at a time: they share one sync of the log. */
  streamChunksInEngineMax: 12,
  /** Characters of a stream id. */
  streamIdLengthMax: 64,
  /** Stream ids remembered per collection; the longest unused is forgotten first. */
  streamIdsPerCollectionMax: 10_000,
  /** Open ingest and scroll streams of one process. */
  streamsMax: 256,
  /** Seconds that a scroll stream may hold its snapshot. */
  scrollSnapshotSecondsMax: 3_600,
  /** Points of one message of a scroll stream. */
  scrollStreamPageMax: 10_000,
  collectionsMax: 10_000,
  /** Seconds of a timeout that are counted: about what Node's timers can (2^31 ms). */
  timeoutSecondsMax: 2_000_000,
  /** Threads of the engine's, of each kind: more than the cores help nobody. */
  nativeThreadsMax: 256,
  /** Bytes of one snapshot that is uploaded or fetched. */
  snapshotBytesMax: 1024 ** 4,
  /** Snapshots of one collection, and of the whole storage: each is listed whole. */
  snapshotsMax: 1_000,
  /** Files of one restore: a snapshot and the incremental ones on top of it, which are read side by side. */
  snapshotFilesPerRestoreMax: 64,
  /** Bytes of a snapshot that are read or sent at a time. */
  snapshotPieceBytes: 256 * 1024,
  /** A snapshot's source may be silent for so long, and the whole of it may take so long. */
  snapshotIdleMs: 30_000,
  snapshotTransferMs: 6 * 60 * 60 * 1000,
  /** Collections with lines of their own in /metrics: each line is a time series of whoever scrapes. */
  metricsCollectionsMax: 200,
  /** Fields without an index that /issues tells of. */
  issuesMax: 1_000,
  aliasesMax: 10_000,
  fieldIndexesPerCollectionMax: 256,
  /** MiB that the indexes which the server makes for itself may take, all collections together; and the most that may be set. */
  temporaryIndexMiBDefault: 64,
  temporaryIndexMiBMax: 65_536,
  recipientsMax: 16,
  clearFieldsMax: 256,
  /** Bytes of one clear field's name. */
  clearFieldBytesMax: 1_024,
  /** Keys kept parsed and checked, so that equal keys cost one check. */
  parsedKeysCacheMax: 1_024,
  /** Tokens remembered as valid, so that each is verified once; and service tables kept for what they grant. */
  verifiedTokensMax: 1_024,
  guardedTablesMax: 64,
  /** Seconds that calls in flight may take to end after SIGTERM. */
  drainSecondsMax: 20,
  /** Threads that serve gRPC: each costs some 50 MB, and more than the cores help nobody. */
  rpcThreadsMax: 64,
  /** Memories of write messages that each thread keeps for the next ones: their number, and the bytes of each. */
  spareMessagesMax: 8,
  spareMessageBytesMin: 512 * 1024,
  spareMessageBytesMax: 2 * 1024 * 1024,
  /** Bytes of received frames after which V8 is asked to collect its young objects, and with them the frames' memory. */
  receivedBytesUncollectedMax: 8 * 1024 * 1024,
  /** Calls over gRPC after which V8 is asked for a full collection: the strings of their headers are freed by nothing else, some 0.07 us each. */
  callsUncollectedMax: 10_000,
  /** Memories of received requests kept for the next ones: their number, and the bytes of each. */
  spareRequestsMax: 12,
  spareRequestBytesMin: 128 * 1024,
  spareRequestBytesMax: 1024 * 1024,
  /** Milliseconds between two looks which callers have given up their reads. */
  cancellationLookMs: 20,
  /** Milliseconds for which a reading of the memory and disk that quotas limit is good. */
  quotaReadingMs: 1_000,
  /** Write batches waiting natively per process; more are refused as exhausted. */
  nativeQueueMax: 4_096,
  /** Milliseconds between two syncs under the fsync policy "interval": all that a power failure may lose. */
  fsyncIntervalMsDefault: 1_000,
  fsyncIntervalMsMax: 600_000,
  /** Bytes of a decrypted S5 manifest and chunk. */
  s5ManifestBytesMax: 4 * 1024 * 1024,
  s5ChunkBytesMax: 64 * 1024 * 1024,
  s5ChunksMax: 10_000,
  /** Bytes of S5 files that one load may have downloaded or be downloading and not yet handed to the index. */
  s5BytesInFlightMax: 16 * 1024 * 1024,
  /** Parallel downloads of one S5 load. */
  s5ParallelMax: 20,
  /** Tries per S5 file, all portals together; each portal is tried once at least. */
  s5AttemptsMax: 5,
  /** Milliseconds before a portal is asked again; they double with each failure, less a random part of up to a half. */
  s5BackoffMs: 200,
  s5PortalsMax: 16,
  /** Bytes of a session key that are looked at: any but 32 are refused. */
  s5SessionKeyBytesMax: 64,
  /** Databases and uploads that are open at a time, and sessions with them; an open database takes an index of the engine's. */
  s5DatabasesMax: 64,
  s5SessionsMax: 1_024,
  /** States on disk that a process remembers, so that an older one is not taken for the last. */
  s5SavedStatesMax: 10_000,
  /** Indexes of S5 databases that are kept on disk; those that were not used for the longest time go. */
  s5SavedMax: 256,
  /** Users whose last S5 loads are remembered for the rate limit, and loads whose outcome is, for ten minutes. */
  s5RateUsersMax: 10_000,
  s5OutcomesMax: 1_024,
  s5OutcomeMs: 10 * 60 * 1000,
  /** Callers that watch S5 loads at a time, over all threads. */
  s5WatchersMax: 1_024,
  /** Vectors of one upload into an S5 session. */
  s5UploadVectorsMax: 10_000,
  /** Milliseconds without an event after which a stream of server-sent events says that it is still there. */
  s5EventQuietMs: 15_000,
  s5FileTimeoutMs: 30_000,
  s5LoadTimeoutMs: 300_000,
} as const;
