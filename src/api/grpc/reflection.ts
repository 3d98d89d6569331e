/**
 * grpc.reflection v1 and v1alpha over the descriptors of the services that the server was given, so that grpcurl and
 * others can list, describe and call without .proto files.
 */
import { type DescExtension, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { bidiStream, type ServiceBinding } from "./call.ts";
import { errorDetailsFile, reflectionServices } from "./descriptors.ts";

interface ReflectionRequest {
  readonly host: string;
  readonly messageRequest:
    | { readonly case: "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType"; readonly value: string }
    | { readonly case: "listServices"; readonly value: string }
    | {
        readonly case: "fileContainingExtension";
        readonly value: { readonly containingType: string; readonly extensionNumber: number };
      }
    | { readonly case: undefined; readonly value?: undefined };
}

/** Index of everything that the services and their files name. */
class DescriptorIndex {
  readonly files = new Map<string, DescFile>();
  readonly serviceNames: string[];
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions = new Map<string, Map<number, DescExtension>>();

  constructor(services: readonly DescService[]) {
    this.serviceNames = services.map((service) => service.typeName).sort();
    for (const service of services) this.#addFile(service.file);
    this.#addFile(errorDetailsFile);
  }

  symbol(name: string): DescFile | undefined {
    return this.#symbols.get(name);
  }

  extension(containingType: string, number: number): DescExtension | undefined {
    return this.#extensions.get(containingType)?.get(number);
  }

  extensionNumbers(typeName: string): number[] | undefined {
    const found = this.#extensions.get(typeName);
    if (found === undefined) return this.#symbols.has(typeName) ? [] : undefined;
    return [...found.keys()].sort((a, b) => a - b);
  }

  #addFile(file: DescFile): void {
    const name = file.proto.name;
    if (this.files.has(name)) return;
    this.files.set(name, file);
    for (const dependency of file.dependencies) this.#addFile(dependency);
    for (const type of nestedTypes(file)) {
      this.#symbols.set(type.typeName, file);
      if (type.kind === "service") {
        for (const method of type.methods) this.#symbols.set(`${type.typeName}.${method.name}`, file);
      } else if (type.kind === "message") {
        for (const member of type.fields) this.#symbols.set(`${type.typeName}.${member.name}`, file);
        for (const oneof of type.oneofs) this.#symbols.set(`${type.typeName}.${oneof.name}`, file);
      } else if (type.kind === "enum") {
        const scope = type.typeName.slice(0, type.typeName.lastIndexOf(".") + 1);
        for (const value of type.values) this.#symbols.set(scope + value.name, file);
      } else {
        const of = type.extendee.typeName;
        const known = this.#extensions.get(of) ?? new Map<number, DescExtension>();
        this.#extensions.set(of, known.set(type.number, type));
      }
    }
  }
}

export function createReflectionBindings(services: readonly DescService[]): ServiceBinding[] {
  const all = [...services, reflectionServices.v1, reflectionServices.v1alpha];
  const index = new DescriptorIndex(all);
  return [reflectionServices.v1, reflectionServices.v1alpha].map((service) => ({
    service,
    table: {
      serverReflectionInfo: bidiStream((requests: AsyncIterable<ReflectionRequest>) => answerAll(index, requests)),
    } as unknown as ServiceBinding["table"],
  }));
}

async function* answerAll(index: DescriptorIndex, requests: AsyncIterable<ReflectionRequest>) {
  const sent = new Set<DescFile>();
  for await (const request of requests) {
    yield { validHost: request.host, originalRequest: request, messageResponse: answer(index, request, sent) };
  }
}

function answer(index: DescriptorIndex, request: ReflectionRequest, sent: Set<DescFile>) {
  const { messageRequest: asked } = request;
  switch (asked.case) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: index.serviceNames.map((name) => ({ name })) },
      };
    case "fileByFilename":
      return fileAnswer(index.files.get(asked.value), `file ${asked.value}`, sent);
    case "fileContainingSymbol":
      return fileAnswer(index.symbol(asked.value), `symbol ${asked.value}`, sent);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = asked.value;
      const found = index.extension(containingType, extensionNumber);
      return fileAnswer(found?.file, `extension ${extensionNumber} of ${containingType}`, sent);
    }
    case "allExtensionNumbersOfType": {
      const extensionNumber = index.extensionNumbers(asked.value);
      if (extensionNumber === undefined) return notFound(`type ${asked.value}`);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName: asked.value, extensionNumber } };
    }
    default:
      return {
        case: "errorResponse",
        value: { errorCode: status.INVALID_ARGUMENT, errorMessage: "message_request is not set" },
      };
  }
}

/** The file and what it imports, as far as this stream has not sent them yet; the file itself always, and first. */
function fileAnswer(file: DescFile | undefined, what: string, sent: Set<DescFile>) {
  if (file === undefined) return notFound(what);
  sent.delete(file);
  const files: Uint8Array[] = [];
  const add = (one: DescFile): void => {
    if (sent.has(one)) return;
    sent.add(one);
    files.push(toBinary(FileDescriptorProtoSchema, one.proto));
    for (const dependency of one.dependencies) add(dependency);
  };
  add(file);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: files } };
}

function notFound(what: string) {
  return { case: "errorResponse", value: { errorCode: status.NOT_FOUND, errorMessage: `${what} not found` } };
}
