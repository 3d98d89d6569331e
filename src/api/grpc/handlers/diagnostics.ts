/** sealpoint.v1.Diagnostics. */
import { Diagnostics } from "../../../../gen/sealpoint/v1/diagnostics_pb.js";
import type { DiagnosticsService } from "../../../services/index.ts";
import { mapExplain, toExplainResponse } from "../../../wire/index.ts";
import { bindService, type ServiceBinding, unary } from "../call.ts";

export function bindDiagnostics(diagnostics: DiagnosticsService): ServiceBinding {
  return bindService(Diagnostics, {
    explain: unary(async (message) => {
      const { collection, filter, query } = mapExplain(message);
      const { explanation, sealedSkipped } = await diagnostics.explain(collection, filter, query);
      return toExplainResponse(explanation, sealedSkipped);
    }),
  });
}
