/** The server's TLS identity: read from files, checked, and read again when they change, without a restart. */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Logger } from "pino";
import { limits } from "../core/index.ts";

export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  /** Certificates of the authorities whose clients may connect; absent: no client certificate is asked for. */
  readonly caPath?: string;
  /** Seconds between two looks at the files; 0: never; limits.tlsReloadSecondsDefault when absent. */
  readonly reloadSeconds?: number;
}

/** What node:tls calls them. */
export interface TlsContext {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

/** Reads the files and has OpenSSL judge them: throws when one is missing or malformed, or when key and certificate do not belong together. */
export function readTlsContext({ certPath, keyPath, caPath }: TlsFiles): TlsContext {
  const context = {
    cert: readFileSync(certPath),
    key: readFileSync(keyPath),
    ...(caPath === undefined ? {} : { ca: readFileSync(caPath) }),
  };
  createSecureContext(context);
  return context;
}

function isSame(a: TlsContext, b: TlsContext): boolean {
  return (
    a.cert.equals(b.cert) && a.key.equals(b.key) && (a.ca === b.ca || (a.ca && b.ca && a.ca.equals(b.ca))) === true
  );
}

/**
 * Looks at the files from time to time and hands on what they became; `current` is what is in use. What cannot be used (half written, a key that
 * is not the certificate's) changes nothing, is logged once, and is looked at again. Returns what ends the watch.
 */
export function watchTls(
  files: TlsFiles,
  current: TlsContext,
  log: Logger,
  use: (context: TlsContext) => void,
): () => void {
  const seconds = files.reloadSeconds ?? limits.tlsReloadSecondsDefault;
  if (seconds === 0) return () => undefined;
  let used = current;
  let complaint = "";
  const look = (): void => {
    try {
      const found = readTlsContext(files);
      complaint = "";
      if (isSame(found, used)) return;
      use(found);
      used = found;
      log.info({ cert: files.certPath }, "TLS certificate reloaded");
    } catch (error) {
      const { message } = error as Error;
      if (message !== complaint) log.error({ reason: message }, "TLS files cannot be used; the old ones stay");
      complaint = message;
    }
  };
  const timer = setInterval(look, seconds * 1000);
  timer.unref();
  return () => clearInterval(timer);
}
