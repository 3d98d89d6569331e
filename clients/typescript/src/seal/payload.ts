/**
 * A payload, exactly: integers are bigint and doubles are number, so that 1 and 1.0 stay apart. `payload-js.ts` turns
 * ordinary JavaScript objects into this and back.
 */
export type PayloadValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | readonly PayloadValue[]
  | { readonly [key: string]: PayloadValue };

export type Payload = { readonly [key: string]: PayloadValue };

/** A point's id: an unsigned 64-bit integer, or a UUID. */
export type PointId = bigint | string;

/** The payload key that holds the envelopes. */
export const sealedKey = "$sealpoint";
/** Levels of lists and maps inside a payload. */
export const payloadDepthMax = 128;
export const envelopesPerPointMax = 8;
