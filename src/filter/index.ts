export { encodeFilter } from "./encode.ts";
export { checkJsonPath, isJsonPath } from "./path.ts";
