/**
 * What a write becomes under a policy: sealed, as it is, or refused. Everything is judged before anything is written, and
 * nothing falls back to plaintext.
 */
import {
  badInput,
  DomainError,
  type EncodedPayload,
  type Filter,
  limits,
  type PayloadSelector,
  type PointId,
  sealedKey,
} from "../../core/index.ts";
import {
  type PublicKey,
  parsePublicKey,
  type SealItem,
  sealBatch,
  sealPoints,
  TimeSlices,
  validateEnvelopes,
} from "../../seal/index.ts";
import {
  ByteArena,
  buildSealed,
  encodePayload,
  findSealed,
  omitEntries,
  payloadKeys,
  pickEntries,
  readEnvelopes,
} from "../../wire/index.ts";
import type {
  EncodedUpsert,
  Engine,
  PointInput,
  PointsSelector,
  SealedPatch,
  WriteCondition,
  WriteOperation,
} from "../engine.ts";
import { narrowedSelector } from "../within.ts";
import { fieldIsSealed, rootKey, sealedPath } from "./fields.ts";
import type { AdmissionPolicy } from "./policy.ts";

type Upsert = Extract<WriteOperation, { kind: "upsert" }>;
type SetPayload = Extract<WriteOperation, { kind: "set_payload" }>;
type OverwritePayload = Extract<WriteOperation, { kind: "overwrite_payload" }>;
type DeletePayload = Extract<WriteOperation, { kind: "delete_payload" }>;

const sealedKeyBytes = Buffer.from(sealedKey, "latin1");
const sealedKeyOnly: ReadonlySet<string> = new Set([sealedKey]);
const noPayload: EncodedPayload = new Uint8Array(0);
/** The reserved key as a JSON path, which must quote it. */
const sealedPathText = `"${sealedKey}"`;
const envelopesOnly: PayloadSelector = { kind: "include", keys: [sealedPathText] };

/** Gives the operation to hand on. Throws for anything that the policy refuses. */
export async function admitWrite(
  engine: Engine,
  name: string,
  policy: AdmissionPolicy,
  operation: WriteOperation,
): Promise<WriteOperation> {
  switch (operation.kind) {
    case "upsert":
      return admitUpsert(policy, withCondition(policy, operation));
    case "set_payload":
      return admitSetPayload(engine, name, policy, withSelector(policy, operation));
    case "overwrite_payload":
      return admitOverwrite(engine, name, policy, withSelector(policy, operation));
    case "delete_payload":
      return admitDeletePayload(engine, name, policy, withSelector(policy, operation));
    case "delete":
    case "delete_vectors":
    case "clear_payload":
      return withSelector(policy, operation);
    case "update_vectors":
      return withCondition(policy, operation);
    case "seal_payload":
      // Made by this decorator only: from outside it would go round every check.
      throw new DomainError("internal", "seal_payload is not for callers");
    default:
      return operation satisfies never;
  }
}

// ---- filters

/** Refuses a filter on sealed fields under `required`; under `optional` it judges plain points only. */
export function judgesPlainOnly(
  policy: AdmissionPolicy,
  filter: Parameters<typeof sealedPath>[0] | undefined,
): boolean {
  if (policy.mode === "off" || filter === undefined) return false;
  const path = sealedPath(filter, policy.clearFields);
  if (path === undefined) return false;
  if (policy.mode === "required") throw fieldIsSealed(path);
  return true;
}

function withSelector<T extends { readonly selector: PointsSelector }>(policy: AdmissionPolicy, operation: T): T {
  const { selector } = operation;
  if (selector.kind !== "filter" || !judgesPlainOnly(policy, selector.filter)) return operation;
  return { ...operation, selector: { ...selector, plainOnly: true } };
}

/** The filter of a conditional write judges what is stored, and so by the same rules. */
function withCondition<T extends { readonly condition?: WriteCondition }>(policy: AdmissionPolicy, operation: T): T {
  const { condition } = operation;
  if (condition === undefined || !judgesPlainOnly(policy, condition.filter)) return operation;
  return { ...operation, condition: { ...condition, plainOnly: true } };
}

// ---- refusals

function encryptionRequired(field: string): DomainError {
  return new DomainError(
    "precondition",
    `EncryptionRequired: ${field}: the collection requires sealing; give a public_key or seal the payload in the client`,
    { details: { reason: "EncryptionRequired", field } },
  );
}

function sealingOff(field: string): DomainError {
  return new DomainError(
    "precondition",
    `${field}: a public_key was given but the collection's sealing policy is off: set it to optional or required first`,
    { details: { reason: "SealingOff", field } },
  );
}

// ---- upsert

/** The key of `texts`, first given wins; under `off` a key is refused rather than ignored. */
function recipientFor(
  policy: AdmissionPolicy,
  pointKey: string | undefined,
  requestKey: string | undefined,
  field: string,
): PublicKey | undefined {
  const given = pointKey ?? requestKey;
  if (given === undefined) return policy.mode === "off" ? undefined : policy.recipient;
  const key = parsePublicKey(given, pointKey === undefined ? "public_key" : `${field}.public_key`, field);
  if (policy.mode === "off") throw sealingOff(field);
  return key;
}

function mayHoldEnvelope(payload: EncodedPayload): boolean {
  // One native search instead of a walk over the entries: nearly all payloads end here.
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length).includes(sealedKeyBytes);
}

/**
 * The stored form of a payload in which a client brings its own envelopes, or undefined when it brings none. With a key as
 * well, only clear fields may stand beside the envelope: what else was meant to be sealed would stay plain.
 */
function admitOwnEnvelopes(
  policy: AdmissionPolicy,
  payload: EncodedPayload,
  recipient: PublicKey | undefined,
  field: string,
): { envelopes: Uint8Array[]; clear: EncodedPayload } | undefined {
  if (!mayHoldEnvelope(payload) || findSealed(payload, field) === undefined) return undefined;
  const envelopes = readEnvelopes(payload, field) as Uint8Array[];
  validateEnvelopes(envelopes, policy.acceptedSealingIds, `${field}.${sealedKey}`);
  const clear = omitEntries(payload, sealedKeyOnly, field);
  if (policy.mode === "required" || recipient !== undefined) {
    const plain = payloadKeys(clear, field).find((key) => !policy.clearFields.has(key));
    if (plain !== undefined) {
      const shown = `${field}.${plain.slice(0, 64)}`;
      if (recipient === undefined || policy.mode === "required") {
        throw new DomainError("precondition", `${shown}: only clear_fields may stand beside an envelope`, {
          details: { reason: "EncryptionRequired", field: shown },
        });
      }
      throw badInput(`${shown}: both an envelope and a key to seal with were given`, shown);
    }
  }
  return { envelopes, clear };
}

async function admitUpsert(policy: AdmissionPolicy, operation: Upsert): Promise<WriteOperation> {
  const slices = new TimeSlices();
  const points: PointInput[] = new Array(operation.points.length);
  const items: SealItem[] = [];
  const places: number[] = [];
  for (let i = 0; i < operation.points.length; i++) {
    if (slices.due()) await slices.yield();
    const point = operation.points[i] as PointInput;
    const field = `points[${i}]`;
    const recipient = recipientFor(policy, point.publicKey, operation.publicKey, field);
    const own = admitOwnEnvelopes(policy, point.payload, recipient, `${field}.payload`);
    if (own !== undefined) {
      points[i] = { id: point.id, vectors: point.vectors, payload: buildSealed(own.envelopes, own.clear) };
    } else if (recipient !== undefined) {
      items.push({ id: point.id, payload: point.payload, recipient, field: `${field}.payload` });
      places.push(i);
    } else {
      if (policy.mode === "required") throw encryptionRequired(field);
      points[i] = point;
    }
  }
  const envelopes = await seal(policy, items, operation.freshEphemeral);
  const arena = new ByteArena();
  for (let k = 0; k < places.length; k++) {
    if (slices.due()) await slices.yield();
    const place = places[k] as number;
    const point = operation.points[place] as PointInput;
    points[place] = {
      id: point.id,
      vectors: point.vectors,
      payload: buildSealed([envelopes[k] as Uint8Array], clearPart(policy, point.payload), arena),
    };
  }
  return { kind: "upsert", points, condition: operation.condition };
}

/**
 * Points as they came, with their payloads sealed where the policy or the request asks for it. Undefined when they have to be read and judged one by one:
 * what brings envelopes or keys of its own, and what is refused.
 */
export async function admitEncoded(policy: AdmissionPolicy, points: EncodedUpsert): Promise<EncodedUpsert | undefined> {
  const { publicKey, freshEphemeral } = points;
  let recipient: PublicKey | undefined;
  try {
    recipient = recipientFor(policy, undefined, publicKey, "points[0]");
  } catch {
    return undefined;
  }
  if (recipient === undefined) return policy.mode === "required" ? undefined : points;
  const { sealingId, clearFields, padding } = policy;
  const sealedPayloads = await sealPoints(points, recipient, { sealingId, clearFields, padding, freshEphemeral });
  return sealedPayloads && { ...points, sealedPayloads };
}

function clearPart(policy: AdmissionPolicy, payload: EncodedPayload): EncodedPayload {
  return policy.clearFields.size === 0 ? noPayload : pickEntries(payload, policy.clearFields);
}

function seal(
  policy: AdmissionPolicy,
  items: readonly SealItem[],
  freshEphemeral: boolean | undefined,
): Promise<Uint8Array[]> {
  const { sealingId, clearFields, padding } = policy;
  return sealBatch(items, { sealingId, clearFields, padding, freshEphemeral });
}

// ---- partial updates

async function admitSetPayload(
  engine: Engine,
  name: string,
  policy: AdmissionPolicy,
  operation: SetPayload,
): Promise<WriteOperation> {
  const field = "payload";
  const recipient = recipientFor(policy, undefined, operation.publicKey, field);
  if (operation.key !== undefined) return admitSetAtPath(engine, name, policy, operation, operation.key, recipient);
  const own = admitOwnEnvelopes(policy, operation.payload, recipient, field);
  if (own !== undefined) {
    const id = onlyId(operation.selector, field);
    if (own.envelopes.length !== 1)
      throw badInput(`${field}.${sealedKey}: give one envelope to append`, `${field}.${sealedKey}`);
    const envelope = own.envelopes[0] as Uint8Array;
    const points = [{ id, envelope, clear: own.clear }];
    return { kind: "seal_payload", points, replace: false, ...withinOf(operation) };
  }
  const keys = payloadKeys(operation.payload, field);
  const allClear = keys.every((key) => policy.clearFields.has(key));
  if (recipient !== undefined && !allClear) return sealEach(engine, name, policy, operation, recipient, false);
  if (!allClear) {
    if (policy.mode === "required") throw encryptionRequired(field);
    // Beside an envelope a plain value would be hidden by the sealed one of the same key, whichever is newer.
    await refuseSealedTargets(engine, name, operation, "give a public_key, so that the update is sealed as well");
  }
  return plainSet(operation);
}

function plainSet(operation: SetPayload): WriteOperation {
  const { selector, payload, key } = operation;
  return key === undefined
    ? { kind: "set_payload", selector, payload, ...withinOf(operation) }
    : { kind: "set_payload", selector, payload, key, ...withinOf(operation) };
}

/** What holds for the points of an operation holds for those of what it becomes. */
function withinOf({ within }: WriteOperation): { readonly within?: Filter } {
  return within === undefined ? {} : { within };
}

async function admitSetAtPath(
  engine: Engine,
  name: string,
  policy: AdmissionPolicy,
  operation: SetPayload,
  path: string,
  recipient: PublicKey | undefined,
): Promise<WriteOperation> {
  const root = rootKey(path);
  if (root === sealedKey || mayHoldEnvelope(operation.payload))
    throw badInput(`key: \`${sealedKey}\` cannot be set at a path`, "key");
  if (policy.clearFields.has(root)) return plainSet(operation);
  const advice = `set the whole field \`${root.slice(0, 64)}\` without \`key\`, or overwrite the payload`;
  if (policy.mode === "required" || recipient !== undefined) throw pathIsSealed(path, advice);
  await refuseSealedTargets(engine, name, operation, advice);
  return plainSet(operation);
}

function pathIsSealed(path: string, advice: string): DomainError {
  return new DomainError("precondition", `key: \`${path.slice(0, 200)}\` would lie inside an envelope: ${advice}`, {
    details: { reason: "SealedPayload", field: "key" },
  });
}

async function admitOverwrite(
  engine: Engine,
  name: string,
  policy: AdmissionPolicy,
  operation: OverwritePayload,
): Promise<WriteOperation> {
  const field = "payload";
  const recipient = recipientFor(policy, undefined, operation.publicKey, field);
  const own = admitOwnEnvelopes(policy, operation.payload, recipient, field);
  const { selector } = operation;
  if (own !== undefined) {
    onlyId(selector, field);
    const payload = buildSealed(own.envelopes, own.clear);
    return { kind: "overwrite_payload", selector, payload, ...withinOf(operation) };
  }
  if (recipient !== undefined) return sealEach(engine, name, policy, operation, recipient, true);
  if (policy.mode === "required") throw encryptionRequired(field);
  return { kind: "overwrite_payload", selector, payload: operation.payload, ...withinOf(operation) };
}

function onlyId(selector: PointsSelector, field: string): PointId {
  const id = selector.kind === "ids" && new Set(selector.ids).size === 1 ? selector.ids[0] : undefined;
  if (id === undefined)
    throw badInput(
      `${field}.${sealedKey}: an envelope is bound to one point: select exactly that id`,
      "points_selector",
    );
  return id;
}

/** One envelope for each selected point: they are bound to their points. */
async function sealEach(
  engine: Engine,
  name: string,
  policy: AdmissionPolicy,
  operation: SetPayload | OverwritePayload,
  recipient: PublicKey,
  replace: boolean,
): Promise<WriteOperation> {
  const ids = await resolveIds(engine, name, operation.selector);
  if (ids.length * operation.payload.length > limits.sealedUpdateBytesMax) {
    throw badInput(
      `payload: sealed for each of ${ids.length} points it takes more than ${limits.sealedUpdateBytesMax} bytes: select fewer points`,
      "payload",
    );
  }
  const items = ids.map((id) => ({ id, payload: operation.payload, recipient, field: "payload" }));
  const envelopes = await seal(policy, items, operation.freshEphemeral);
  let clear = clearPart(policy, operation.payload);
  if (!replace) clear = Buffer.concat([clear, removals(policy, operation.payload)]);
  const points: SealedPatch[] = ids.map((id, i) => ({ id, envelope: envelopes[i] as Uint8Array, clear }));
  return { kind: "seal_payload", points, replace, ...withinOf(operation) };
}

/** Nulls for the keys that go into the envelope: merging them removes what was plain under those keys before. */
function removals(policy: AdmissionPolicy, payload: EncodedPayload): EncodedPayload {
  const keys = payloadKeys(payload, "payload").filter((key) => !policy.clearFields.has(key));
  return encodePayload(Object.fromEntries(keys.map((key) => [key, null])));
}

const pagePoints = 10_000;

async function resolveIds(engine: Engine, name: string, selector: PointsSelector): Promise<PointId[]> {
  if (selector.kind === "ids") return [...new Set(selector.ids)];
  const ids: PointId[] = [];
  let offset: PointId | undefined;
  do {
    const page = await engine.scroll(name, {
      filter: selector.filter,
      plainOnly: selector.plainOnly === true,
      offset,
      limit: pagePoints,
      payload: { kind: "none" },
      vectors: { kind: "none" },
    });
    for (let row = 0; row < page.points.length; row++) ids.push(page.points.id(row));
    if (ids.length > limits.pointsPerRequestMax) {
      throw badInput(
        `points_selector: selects more than ${limits.pointsPerRequestMax} points to seal: narrow the filter`,
        "points_selector",
      );
    }
    offset = page.nextOffset;
  } while (offset !== undefined);
  return ids;
}

async function admitDeletePayload(
  engine: Engine,
  name: string,
  policy: AdmissionPolicy,
  operation: DeletePayload,
): Promise<WriteOperation> {
  for (const path of operation.keys) {
    if (rootKey(path) !== sealedKey) continue;
    if (policy.mode === "required") {
      throw new DomainError(
        "precondition",
        "keys: the collection requires sealing: delete or overwrite the point instead of its envelopes",
        {
          details: { reason: "EncryptionRequired", field: "keys" },
        },
      );
    }
    if (path !== sealedKey && path !== sealedPathText)
      throw badInput(`keys: \`${sealedKey}\` can only be deleted as a whole`, "keys");
  }
  const inside = operation.keys.some((path) => rootKey(path) !== sealedKey && !policy.clearFields.has(rootKey(path)));
  if (inside) await refuseSealedTargets(engine, name, operation, "overwrite the payload without the field");
  // An unquoted `$` is not in the grammar of JSON paths.
  const keys = operation.keys.map((path) => (path === sealedKey ? sealedPathText : path));
  return { ...operation, keys };
}

/** Refuses when a selected point is sealed. A point sealed in between is merely updated as if before. */
async function refuseSealedTargets(
  engine: Engine,
  name: string,
  { selector: given, within }: SetPayload | DeletePayload,
  advice: string,
): Promise<void> {
  const selector = within === undefined ? given : narrowedSelector(given, within);
  if (selector.kind === "filter" && selector.plainOnly === true) return;
  if ((await engine.collectionInfo(name)).sealedPointsCount === 0) return;
  if (selector.kind === "ids") {
    for (let at = 0; at < selector.ids.length; at += pagePoints) {
      const ids = selector.ids.slice(at, at + pagePoints);
      refuseSealed(await engine.get(name, ids, envelopesOnly, { kind: "none" }), advice);
    }
    return;
  }
  let offset: PointId | undefined;
  do {
    const page = await engine.scroll(name, {
      filter: selector.filter,
      offset,
      limit: pagePoints,
      payload: envelopesOnly,
      vectors: { kind: "none" },
    });
    refuseSealed(page.points, advice);
    offset = page.nextOffset;
  } while (offset !== undefined);
}

function refuseSealed(points: Awaited<ReturnType<Engine["get"]>>, advice: string): void {
  for (let row = 0; row < points.length; row++) {
    if ((points.payload(row) ?? noPayload).length === 0) continue;
    throw new DomainError("precondition", `point ${points.id(row)} is sealed: ${advice}`, {
      details: { reason: "SealedPayload", field: "points_selector" },
    });
  }
}
