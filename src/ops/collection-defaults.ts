/**
 * What new collections have unless their creation says otherwise: Qdrant's `storage.hnsw_index`, `storage.optimizers`, `storage.wal`,
 * `storage.on_disk_payload` and `storage.collection`, each of them a setting SEALPOINT_COLLECTION_DEFAULTS_... as well.
 */
import { type CollectionDefaults, limits } from "../core/index.ts";

type Value = number | boolean | string;

interface Kind {
  /** What a value has to be, for the message. */
  readonly expected: string;
  /** Undefined for a value that it is not. */
  readonly read: (text: string) => Value | undefined;
}

const countMax = Number.MAX_SAFE_INTEGER;

function count(least: number, most = countMax): Kind {
  return {
    expected: most === countMax ? `a whole number, ${least} or more` : `a whole number from ${least} to ${most}`,
    read: (text) => {
      const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
      return number >= least && number <= most ? number : undefined;
    },
  };
}

function decimal(least: number, most: number): Kind {
  return {
    expected: most === Number.MAX_VALUE ? `a number, ${least} or more` : `a number from ${least} to ${most}`,
    read: (text) => {
      const number = /^[\d.eE+-]{1,32}$/.test(text) ? Number(text) : Number.NaN;
      return number >= least && number <= most ? number : undefined;
    },
  };
}

const flag: Kind = {
  expected: "true or false",
  read: (text) => (/^(?:true|1)$/i.test(text) ? true : /^(?:false|0)$/i.test(text) ? false : undefined),
};

/** Qdrant's words, and the names of the protobuf enum's values. */
function word(names: Readonly<Record<string, string>>): Kind {
  return {
    expected: `one of ${Object.keys(names).join(", ")}`,
    read: (text) => (Object.hasOwn(names, text.toLowerCase()) ? names[text.toLowerCase()] : undefined),
  };
}

const memory = word({ cold: "Cold", cached: "Cached", pinned: "Pinned" });
const vectorNumber = count(1, 2 ** 32 - 1);
const small = count(0, 2 ** 32 - 1);

interface Default {
  /** Dots between the fields of qdrant.CreateCollection; of `vectors`, the field of each vector that does not say. */
  readonly path: string;
  /** Qdrant's keys for it, without `storage.`. */
  readonly keys: readonly string[];
  readonly kind: Kind;
}

const one = (path: string, kind: Kind, ...keys: string[]): Default => ({ path, keys, kind });

/** The same fields of a group, under Qdrant's key of the group. */
function group(path: string, key: string, fields: Readonly<Record<string, Kind>>, inKib: readonly string[] = []) {
  return Object.entries(fields).map(([name, kind]) =>
    one(`${path}.${name}`, kind, `${key}.${name}`, ...(inKib.includes(name) ? [`${key}.${name}_kb`] : [])),
  );
}

const defaults: readonly Default[] = [
  ...group(
    "hnsw_config",
    "hnsw_index",
    {
      m: count(0, 10_000),
      ef_construct: count(4, limits.efMax),
      full_scan_threshold: count(10),
      max_indexing_threads: count(0),
      on_disk: flag,
      payload_m: count(0),
      inline_storage: flag,
      memory,
    },
    ["full_scan_threshold"],
  ),
  ...group(
    "optimizers_config",
    "optimizers",
    {
      deleted_threshold: decimal(0, 1),
      vacuum_min_vector_number: count(100),
      default_segment_number: count(0),
      max_segment_size: count(1),
      memmap_threshold: count(0),
      indexing_threshold: count(0),
      flush_interval_sec: count(0),
      prevent_unoptimized: flag,
    },
    ["max_segment_size", "memmap_threshold", "indexing_threshold"],
  ),
  one("optimizers_config.max_optimization_threads.value", count(0), "optimizers.max_optimization_threads"),
  ...group("wal_config", "wal", {
    wal_capacity_mb: count(1),
    wal_segments_ahead: count(0),
    wal_retain_closed: count(1),
  }),
  one("on_disk_payload", flag, "on_disk_payload"),
  one("payload.memory", memory, "collection.payload.memory", "payload.memory"),
  one("vectors.on_disk", flag, "collection.vectors.on_disk"),
  one("vectors.memory", memory, "collection.vectors.memory"),
  one("shard_number", vectorNumber, "collection.shard_number", "collection.shard_number_per_node"),
  one("replication_factor", vectorNumber, "collection.replication_factor"),
  one("write_consistency_factor", vectorNumber, "collection.write_consistency_factor"),
  ...group("quantization_config.scalar", "collection.quantization.scalar", {
    type: word({ int8: "Int8" }),
    quantile: decimal(0.5, 1),
    always_ram: flag,
    memory,
  }),
  ...group("quantization_config.product", "collection.quantization.product", {
    compression: word({ x4: "x4", x8: "x8", x16: "x16", x32: "x32", x64: "x64" }),
    always_ram: flag,
    memory,
  }),
  ...group("quantization_config.binary", "collection.quantization.binary", {
    encoding: word({ one_bit: "OneBit", two_bits: "TwoBits", one_and_half_bits: "OneAndHalfBits" }),
    always_ram: flag,
    memory,
  }),
  one(
    "quantization_config.binary.query_encoding.setting",
    word({ default: "Default", binary: "Binary", scalar4bits: "Scalar4Bits", scalar8bits: "Scalar8Bits" }),
    "collection.quantization.binary.query_encoding",
  ),
  ...group("strict_mode_config", "collection.strict_mode", {
    enabled: flag,
    max_query_limit: vectorNumber,
    max_timeout: vectorNumber,
    unindexed_filtering_retrieve: flag,
    unindexed_filtering_update: flag,
    search_max_hnsw_ef: small,
    search_allow_exact: flag,
    search_max_oversampling: decimal(0, Number.MAX_VALUE),
    upsert_max_batchsize: count(0),
    search_max_batchsize: count(0),
    max_collection_vector_size_bytes: count(0),
    max_collection_payload_size_bytes: count(0),
    read_rate_limit: vectorNumber,
    write_rate_limit: vectorNumber,
    filter_max_conditions: count(0),
    condition_max_size: count(0),
    max_points_count: count(1),
    max_payload_index_count: count(0),
    max_resident_memory_percent: count(1, 100),
  }),
];

const prefix = "SEALPOINT_COLLECTION_DEFAULTS_";
const nameOf = ({ path }: Default): string => prefix + path.replaceAll(".", "_").toUpperCase();

/** Qdrant's keys of these settings with our names for them. */
export const qdrantDefaultKeys: ReadonlyMap<string, string> = new Map(
  defaults.flatMap((each) => each.keys.map((key): [string, string] => [`storage.${key}`, nameOf(each)])),
);

/** `fail` throws the configuration's error. */
export function readCollectionDefaults(
  text: (name: string) => string | undefined,
  fail: (message: string) => never,
): CollectionDefaults {
  const read: Record<string, Value> = {};
  for (const each of defaults) {
    const given = text(nameOf(each));
    if (given === undefined) continue;
    const value = each.kind.read(given);
    if (value === undefined) fail(`${nameOf(each)}: ${JSON.stringify(given)} is not ${each.kind.expected}`);
    else read[each.path] = value;
  }
  const kinds = ["scalar", "product", "binary"].filter((kind) =>
    Object.keys(read).some((path) => path.startsWith(`quantization_config.${kind}.`)),
  );
  if (kinds.length > 1) {
    fail(`${prefix}QUANTIZATION_CONFIG: has ${kinds.join(" and ")}, of which a collection can have one`);
  }
  // These have no default of their own.
  for (const [kind, field] of [
    ["scalar", "type"],
    ["product", "compression"],
  ] as const) {
    if (kinds[0] === kind && read[`quantization_config.${kind}.${field}`] === undefined) {
      fail(`${prefix}QUANTIZATION_CONFIG_${kind.toUpperCase()}_${field.toUpperCase()}: missing`);
    }
  }
  return read;
}
