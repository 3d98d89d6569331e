/**
 * Who calls: API keys, and JSON web tokens signed with one of them (HS256), as Qdrant's role-based access reads them. Both
 * doors ask here. No key, no token and no claim's value appears in a message.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { errors, type JWTPayload, jwtVerify } from "jose";
import {
  type Access,
  type CollectionMode,
  type Condition,
  DomainError,
  fullAccess,
  limits,
  readAccess,
  type ValueExists,
} from "../core/index.ts";

export interface AccessKeys {
  /** Each grants everything, and signs tokens. Empty, with no read-only key either: nobody is asked for a key. */
  readonly apiKeys: readonly string[];
  /** Each grants reading. */
  readonly readOnlyKeys?: readonly string[];
  /** Whether tokens are taken at all (Qdrant's service.jwt_rbac). */
  readonly jwtRbac?: boolean;
}

export interface Caller {
  readonly access: Access;
  /** Must still hold before anything is answered. */
  readonly valueExists?: ValueExists;
}

export interface Authenticator {
  /** False: everybody is let in with full access. */
  readonly asksForKeys: boolean;
  /** The caller behind a request's headers; a key is judged at once, a token may take a turn. Throws unauthenticated or forbidden. */
  authenticate(header: (name: string) => unknown): Caller | Promise<Caller>;
}

const anybody: Caller = { access: fullAccess };
const reader: Caller = { access: readAccess };

/** Seconds that clocks may differ, as Qdrant grants. */
const clockToleranceSeconds = 60;

export function createAuthenticator({ apiKeys, readOnlyKeys = [], jwtRbac = false }: AccessKeys): Authenticator {
  const managers = apiKeys.map(digest);
  const readers = readOnlyKeys.map(digest);
  const secrets = jwtRbac ? apiKeys.map((key) => new TextEncoder().encode(key)) : [];
  const verified = new VerifiedTokens();

  async function judgeToken(token: string, name: string): Promise<Caller> {
    let isToken = false;
    for (const secret of secrets) {
      const claims = await verifyToken(token, secret);
      if (claims === "signature") isToken = true;
      if (claims === undefined || claims === "signature") continue;
      const caller = readClaims(claims);
      verified.add(name, caller, claims.exp);
      return caller;
    }
    // As Qdrant tells a token of somebody else's from what is none.
    throw isToken ? forbidden("InvalidSignature") : unauthenticated("Invalid API key or JWT");
  }

  return {
    asksForKeys: managers.length + readers.length > 0,
    authenticate(header) {
      if (managers.length + readers.length === 0) return anybody;
      const presented = presentedKey(header);
      if (presented === undefined) {
        throw unauthenticated("Must provide an API key or an Authorization bearer token");
      }
      const given = digest(presented);
      // Every digest is compared, so neither content nor place of a key shows in the time it takes.
      const manages = matchesAny(managers, given);
      const reads = matchesAny(readers, given);
      if (manages) return anybody;
      if (reads) return reader;
      if (secrets.length === 0) throw unauthenticated("Invalid API key or JWT");
      const name = given.toString("base64");
      return verified.get(name) ?? judgeToken(presented, name);
    },
  };
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key, "utf8").digest();
}

function matchesAny(digests: readonly Buffer[], given: Buffer): boolean {
  let matched = false;
  for (const one of digests) matched = timingSafeEqual(one, given) || matched;
  return matched;
}

/** The key in `api-key` or in `authorization: Bearer`. */
function presentedKey(header: (name: string) => unknown): string | undefined {
  const apiKey = header("api-key");
  if (typeof apiKey === "string") return apiKey;
  const authorization = header("authorization");
  return typeof authorization === "string" ? /^Bearer +(\S+)\s*$/i.exec(authorization)?.[1] : undefined;
}

/** Undefined for what is no token, "signature" when another secret signed it; throws forbidden for a token of ours that is not, or no more, valid. */
async function verifyToken(token: string, secret: Uint8Array): Promise<JWTPayload | "signature" | undefined> {
  try {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: ["HS256"],
      clockTolerance: clockToleranceSeconds,
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw forbidden("ExpiredSignature");
    if (error instanceof errors.JWTClaimValidationFailed) throw forbidden("ImmatureSignature");
    return error instanceof errors.JWSSignatureVerificationFailed ? "signature" : undefined;
  }
}

function readClaims(claims: JWTPayload): Caller {
  const valueExists = readValueExists(claims.value_exists);
  return { access: readAccessClaim(claims.access), ...(valueExists === undefined ? {} : { valueExists }) };
}

/** A token without the claim manages everything, as Qdrant has it. */
function readAccessClaim(claim: unknown): Access {
  if (claim === undefined || claim === "m") return fullAccess;
  if (claim === "r") return readAccess;
  if (!Array.isArray(claim)) throw forbidden("Invalid JWT: access is neither r, m nor a list");
  const rules = new Map<string, CollectionMode>();
  for (const entry of claim as readonly Record<string, unknown>[]) {
    const { collection, access, payload } = entry ?? {};
    // A filter that is not applied would grant more than its author meant.
    if (payload !== undefined) throw unauthenticated("Invalid JWT: the claim payload is no longer supported");
    if (typeof collection !== "string" || !isMode(access)) throw forbidden("Invalid JWT: access has a wrong entry");
    rules.set(collection, access);
  }
  return { kind: "collections", rules };
}

function isMode(value: unknown): value is CollectionMode {
  return value === "r" || value === "rw" || value === "prw";
}

function readValueExists(claim: unknown): ValueExists | undefined {
  if (claim === undefined || claim === null) return undefined;
  const { collection, matches } = claim as { readonly collection?: unknown; readonly matches?: unknown };
  if (typeof collection !== "string" || !Array.isArray(matches))
    throw forbidden("Invalid JWT: value_exists is malformed");
  const must = matches.map((match: { readonly key?: unknown; readonly value?: unknown }): Condition => {
    const { key, value } = match ?? {};
    if (typeof key !== "string") throw forbidden("Invalid JWT: value_exists is malformed");
    if (typeof value === "string") return { kind: "match_keyword", key, value };
    if (typeof value === "boolean") return { kind: "match_bool", key, value };
    if (Number.isSafeInteger(value)) return { kind: "match_integer", key, value: BigInt(value as number) };
    throw forbidden("Invalid JWT: value_exists has a value that is neither text, integer nor bool");
  });
  return { collection, filter: { must, should: [], mustNot: [] } };
}

/** Tokens found valid lately, by digest: a token is verified once, not at each call. */
class VerifiedTokens {
  readonly #callers = new Map<string, { readonly caller: Caller; readonly endsMs: number }>();

  get(name: string): Caller | undefined {
    const found = this.#callers.get(name);
    if (found === undefined) return undefined;
    if (Date.now() < found.endsMs) return found.caller;
    this.#callers.delete(name);
    return undefined;
  }

  /** `expires`: seconds since 1970, of the token's claim. */
  add(name: string, caller: Caller, expires: number | undefined): void {
    const [oldest] = this.#callers.keys();
    if (this.#callers.size >= limits.verifiedTokensMax && oldest !== undefined) this.#callers.delete(oldest);
    const endsMs = expires === undefined ? Number.POSITIVE_INFINITY : (expires + clockToleranceSeconds) * 1_000;
    this.#callers.set(name, { caller, endsMs });
  }
}

function unauthenticated(message: string): DomainError {
  return new DomainError("unauthenticated", message);
}

function forbidden(message: string): DomainError {
  return new DomainError("forbidden", message);
}
