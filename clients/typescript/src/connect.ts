/**
 * Sealing and opening under connect clients, among them Qdrant's own @qdrant/js-client-grpc. Nothing of connect is imported:
 * the shapes below are what its interceptors are given.
 */
import { MessageSealing, type SealingOptions } from "./messages.ts";

interface Call {
  readonly stream: boolean;
  readonly method: { readonly input: { readonly typeName: string } };
  readonly message: unknown;
}

interface Answer {
  readonly stream: boolean;
  readonly message: unknown;
}

/** A connect `Interceptor`: give it to a transport as `{ interceptors: [sealingConnectInterceptor(options)] }`. */
export function sealingConnectInterceptor(options: SealingOptions) {
  const sealing = new MessageSealing(options);
  return <Request extends Call, Response extends Answer>(next: (request: Request) => Promise<Response>) =>
    async (request: Request): Promise<Response> => {
      const call = sealing.forCall();
      const type = request.method.input.typeName;
      const message = request.stream
        ? mapEach(request.message as AsyncIterable<unknown>, (each) => call.request(type, each))
        : call.request(type, request.message);
      const answer = await next({ ...request, message });
      const opened = answer.stream
        ? mapEach(answer.message as AsyncIterable<unknown>, (each) => call.response(each))
        : call.response(answer.message);
      return { ...answer, message: opened };
    };
}

async function* mapEach(messages: AsyncIterable<unknown>, map: (message: unknown) => unknown): AsyncIterable<unknown> {
  for await (const message of messages) yield map(message);
}

const requestTypes: { readonly [method: string]: string } = {
  upsert: "qdrant.UpsertPoints",
  setPayload: "qdrant.SetPayloadPoints",
  overwritePayload: "qdrant.SetPayloadPoints",
  updateBatch: "qdrant.UpdateBatchPoints",
};

type AnyMethod = (request: unknown, ...rest: unknown[]) => unknown;

/**
 * Qdrant's own client (`QdrantClient` of @qdrant/js-client-grpc), which takes no interceptors, with sealing around its
 * `api("points")`: writes are sealed and answers opened. Everything else is the client's own.
 */
export function sealQdrantClient<Client extends { api(name: never): object }>(
  client: Client,
  options: SealingOptions,
): Client {
  const sealing = new MessageSealing(options);
  const sealMethod =
    (name: string, method: AnyMethod): AnyMethod =>
    async (request, ...rest) => {
      const call = sealing.forCall();
      return call.response(await method(call.request(requestTypes[name] ?? "", request), ...rest));
    };
  return new Proxy(client, {
    get(target, property) {
      const value = Reflect.get(target, property, target) as unknown;
      if (typeof value !== "function") return value;
      if (property !== "api") return value.bind(target);
      return (name: string) => {
        const api = (value as (name: string) => object).call(target, name);
        if (name !== "points") return api;
        return new Proxy(api, {
          get(inner, method) {
            const own = Reflect.get(inner, method, inner) as unknown;
            return typeof own === "function" && typeof method === "string" ? sealMethod(method, own.bind(inner)) : own;
          },
        });
      };
    },
  });
}
