export { type RestAnswerName, renderRestAnswer } from "./answers.ts";
export { readLoggerChange } from "./read-logger.ts";
export { checkSnapshotPriority, readRecovery } from "./read-recovery.ts";
export {
  type EncodedRequest,
  encodeRestRequest,
  type RestParams,
  type RestRequestName,
} from "./requests.ts";
export { readS5Event } from "./s5.ts";
export { restSchemas } from "./schemas.ts";
export { payloadText } from "./write-values.ts";
