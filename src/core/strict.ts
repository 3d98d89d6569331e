/** Qdrant's strict mode: limits of a collection's own for what callers may ask of it. Absent limits do not hold. */
export interface StrictMode {
  /** Nothing holds unless this is true. */
  readonly enabled?: boolean;
  readonly maxQueryLimit?: number;
  /** Seconds. */
  readonly maxTimeout?: number;
  /** False: filters of reads, and of writes, ask only for fields that have an index. */
  readonly unindexedFilteringRetrieve?: boolean;
  readonly unindexedFilteringUpdate?: boolean;
  readonly searchMaxHnswEf?: number;
  readonly searchAllowExact?: boolean;
  readonly searchMaxOversampling?: number;
  /** Points. */
  readonly upsertMaxBatchsize?: number;
  readonly searchMaxBatchsize?: number;
  readonly maxCollectionVectorSizeBytes?: number;
  readonly maxCollectionPayloadSizeBytes?: number;
  readonly maxPointsCount?: number;
  /** Operations in a minute. */
  readonly readRateLimit?: number;
  readonly writeRateLimit?: number;
  readonly filterMaxConditions?: number;
  /** Values of one condition, such as those of a match any. */
  readonly conditionMaxSize?: number;
  /** By vector name: vectors of one multivector, and values of one sparse vector. */
  readonly multivectorMaxVectors?: Readonly<Record<string, number>>;
  readonly sparseMaxLength?: Readonly<Record<string, number>>;
  readonly maxPayloadIndexCount?: number;
  /** Of the machine's memory, that the process holds. */
  readonly maxResidentMemoryPercent?: number;
}
