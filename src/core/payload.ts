/**
 * Payloads cross the core as bytes: the entries of a `map<string, qdrant.Value>` in protobuf wire form, each entry under
 * field number 2 (tag byte 0x12), as ScoredPoint and RetrievedPoint carry them. The store keeps exactly these bytes, so an
 * answer copies them and never decodes them. This encoding is a disk format: it may never change.
 *
 * A sealed point carries its envelopes in the FIRST entry, under the key `$sealpoint`, whose Value uses the private
 * field 15 (bytes: the binary envelopes, each preceded by a u32 BE length). `wire` expands it to documented JSON on the way out.
 */
export type EncodedPayload = Uint8Array & { readonly __brand?: "EncodedPayload" };

/** Points as they came: a protobuf message in which field `field` is a repeated qdrant.PointStruct. */
export interface EncodedPoints {
  /** Well-formed at the top level. */
  readonly bytes: Uint8Array;
  readonly field: number;
  /** Points in it. */
  readonly count: number;
}

/** The decoded form, used off the hot path. Integers are bigint and doubles are number, so the two never mix. */
export type PayloadValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | readonly PayloadValue[]
  | { readonly [key: string]: PayloadValue };

export type PayloadObject = { readonly [key: string]: PayloadValue };

export const sealedKey = "$sealpoint";
/** Field number of the binary envelopes inside a stored Value. */
export const sealedValueField = 15;

/** Which payload an answer carries. `keys` are JSON paths such as `a.b` or `a[].b`. */
export type PayloadSelector =
  | { readonly kind: "none" }
  | { readonly kind: "all" }
  | { readonly kind: "include"; readonly keys: readonly string[] }
  | { readonly kind: "exclude"; readonly keys: readonly string[] };

/** Which vectors an answer carries. The unnamed vector's name is "". */
export type VectorsSelector =
  | { readonly kind: "none" }
  | { readonly kind: "all" }
  | { readonly kind: "names"; readonly names: readonly string[] };
