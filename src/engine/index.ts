export { type Attached, type Attachments, AttachmentTable, attachedEngine } from "./attached.ts";
export * from "./engine.ts";
export { guardEngine } from "./guarded.ts";
export { type Issue, IssueBook, type IssueSink, issuesEngine, type UnindexedField } from "./issues.ts";
export { Quota, quotaEngine } from "./quota.ts";
export { createSharedChanges, sealEngine, sealedSkippedOf } from "./sealed.ts";
export { strictEngine } from "./strict.ts";
export { tableRows } from "./tables.ts";
export { unextendedEngine } from "./unextended.ts";
