/** The structured log, to standard error. Keys and credentials are cut out by name, should one ever get into a line. */
import { destination, type Logger, pino } from "pino";

export type { Logger } from "pino";

const secretNames = [
  "apiKey",
  "apiKeys",
  "api-key",
  "authorization",
  "key",
  "privateKey",
  "sessionKey",
  "session_key",
  "secret",
  "payload",
  "plaintext",
];

/** Redaction by name, two levels deep: what a careless log line would hold. */
const redactPaths = secretNames.flatMap((name) => {
  const path = /^[a-z]\w*$/i.test(name) ? name : `["${name}"]`;
  return [path, path.startsWith("[") ? `*${path}` : `*.${path}`];
});

export function createLog(
  level: string,
  stream: { write(line: string): void } = destination({ fd: 2, sync: true }),
): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: redactPaths },
  };
  return pino(options, stream);
}
