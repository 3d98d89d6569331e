/** A server, Qdrant's or ours, as `sealpoint import` and `export` talk to it. */
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { limits } from "../core/index.ts";

const attemptsMax = 6;
const callTimeoutMs = 120_000;
const retryable = new Set<number>([status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.ABORTED]);

export class Peer {
  readonly address: string;
  readonly #client: Client;
  readonly #metadata: Metadata;

  /** `url`: http://host:port or https://host:port of the gRPC port. */
  constructor(url: string, apiKey: string | undefined) {
    const { protocol, host } = new URL(url);
    this.address = host;
    const channel = protocol === "https:" ? credentials.createSsl() : credentials.createInsecure();
    this.#client = new Client(host, channel, {
      "grpc.max_receive_message_length": limits.messageBytesMax,
      "grpc.max_send_message_length": limits.messageBytesMax,
    });
    this.#metadata = new Metadata();
    if (apiKey !== undefined) this.#metadata.set("api-key", apiKey);
  }

  /** Tried again with growing pauses while the server is away: every call made here may be repeated. */
  async ask<Request, Answer>(
    call: { readonly path: string; encode(request: Request): Buffer; decode(answer: Uint8Array): Answer },
    request: Request,
  ): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return call.decode(await this.#send(call.path, call.encode(request)));
      } catch (error) {
        const { code, details } = error as Partial<ServiceError>;
        if (code === undefined) throw error;
        if (retryable.has(code) && attempt < attemptsMax) {
          await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
          continue;
        }
        throw Object.assign(new Error(`${this.address}: ${call.path}: ${details}`), { code });
      }
    }
  }

  #send(path: string, message: Buffer): Promise<Buffer> {
    const same = (bytes: Buffer): Buffer => bytes;
    const deadline = Date.now() + callTimeoutMs;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, same, same, message, this.#metadata, { deadline }, (error, answer) =>
        error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** The server's answer is larger than a client takes. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && (error as Partial<ServiceError>).code === status.RESOURCE_EXHAUSTED;
}
