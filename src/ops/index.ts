export * from "./authenticator.ts";
export * from "./config.ts";
export { Durations, FigureBook, type MethodFigures, type ThreadFigures } from "./figures.ts";
export * from "./identity.ts";
export type { InferenceConfig } from "./inference-config.ts";
export * from "./log.ts";
export { LoggerControl } from "./logger-control.ts";
export * from "./metrics.ts";
export type { OnnxConfig } from "./onnx-config.ts";
export { ResponseBook, type ResponseFigures } from "./responses.ts";
export {
  defaultPortalUrl,
  describeS5Config,
  parsePortalUrls,
  readS5Config,
  type S5Config,
  s5ConfigDefault,
} from "./s5-config.ts";
export { convertQdrantConfig, readSettings, type Settings } from "./settings.ts";
export { ThreadPort } from "./thread-port.ts";
export * from "./tls.ts";
