/**
 * The contract as Qdrant alone has it, for a server whose extensions are turned off: what would seal is refused, by name. Collections with a
 * policy from before keep it: their payloads are sealed to its recipients, and nothing of it can be changed.
 */
import { badInput, sealingDefault } from "../core/index.ts";
import type { SealedEngine } from "./engine.ts";

function off(field: string): Error {
  return badInput(`${field}: the extensions of Sealpoint are turned off here (SEALPOINT_EXTENSIONS)`, field);
}

export function unextendedEngine(engine: SealedEngine): SealedEngine {
  return {
    ...engine,
    async createCollection(name, config, sealing) {
      const isAsked = sealing.mode !== sealingDefault.mode || sealing.recipients.length > 0;
      if (isAsked || sealing.clearFields.length > 0) throw off("sealing");
      return engine.createCollection(name, config, sealing);
    },
    async setSealingPolicy() {
      throw off("sealing");
    },
    async write(name, operation, options) {
      if ("publicKey" in operation && operation.publicKey !== undefined) throw off("public_key");
      if (operation.kind === "upsert" && operation.points.some((point) => point.publicKey !== undefined)) {
        throw off("public_key");
      }
      return engine.write(name, operation, options);
    },
    async writeEncoded(name, points, options) {
      if (points.publicKey !== undefined) throw off("public_key");
      return engine.writeEncoded(name, points, options);
    },
  };
}
