/** sealpoint.v1.Sealing. */
import { Sealing } from "../../../../gen/sealpoint/v1/sealing_pb.js";
import { badInput } from "../../../core/index.ts";
import type { SealingService } from "../../../services/index.ts";
import { mapSealingPolicy, toSealingState } from "../../../wire/index.ts";
import { bindService, type ServiceBinding, unary } from "../call.ts";

export function bindSealing(sealing: SealingService): ServiceBinding {
  return bindService(Sealing, {
    setPolicy: unary(async ({ collectionName, policy }) => {
      // An absent policy is no wish to turn sealing off.
      if (policy === undefined) throw badInput("policy: missing", "policy");
      const info = await sealing.setPolicy(collectionName, mapSealingPolicy(policy, "policy"));
      return { state: toSealingState(info) };
    }),
    getPolicy: unary(async ({ collectionName }) => ({
      state: toSealingState(await sealing.getPolicy(collectionName)),
    })),
    countPlain: unary(async ({ collectionName }) => {
      const { plain, total } = await sealing.countPlain(collectionName);
      return { plain: BigInt(plain), total: BigInt(total) };
    }),
  });
}
