/**
 * GET from a portal by Node's own HTTP client: unlike fetch it is there when the server is, and gives a body in the pieces that the socket read. Redirects are
 * not followed: one could lead into the host's own network. Connections are kept for the next file.
 */
import type { Agent, ClientRequest, IncomingMessage } from "node:http";

export type PortalResponse = IncomingMessage;

const idleSocketsMax = 20;
const headers = {
  accept: "*/*",
  // Files are ciphertext: compression gains nothing and would hide their size from the cap.
  "accept-encoding": "identity",
  "user-agent": "sealpoint",
};

interface Scheme {
  readonly request: (url: URL, options: object) => ClientRequest;
  readonly agent: Agent;
}

const schemes = new Map<string, Scheme>();

/** As CommonJS: an import of either as an ES module loads all of undici. */
function schemeOf(protocol: string): Scheme {
  let scheme = schemes.get(protocol);
  if (scheme === undefined) {
    const { request, Agent } =
      protocol === "https:" ? process.getBuiltinModule("node:https") : process.getBuiltinModule("node:http");
    scheme = { request, agent: new Agent({ keepAlive: true, maxFreeSockets: idleSocketsMax }) };
    schemes.set(protocol, scheme);
  }
  return scheme;
}

/** The answer's head; its body must be read or destroyed. Rejected as the socket fails, or with an AbortError. */
export async function getFrom(target: string, signal: AbortSignal): Promise<PortalResponse> {
  const url = new URL(target);
  for (;;) {
    const { request, agent } = schemeOf(url.protocol);
    const sent = request(url, { agent, headers, signal });
    try {
      return await new Promise((resolve, reject) => {
        sent.on("response", resolve);
        // It stays: what comes after the answer's head ends the body as well, which tells.
        sent.on("error", reject);
        sent.end();
      });
    } catch (error) {
      // The portal closed a kept connection in the moment that it was taken again. A new one tells more.
      if (!sent.reusedSocket || signal.aborted || (error as NodeJS.ErrnoException).code !== "ECONNRESET") throw error;
    }
  }
}
