/**
 * Descriptors of the two standard services that this server speaks beside its own: grpc.health.v1 and grpc.reflection
 * (v1 and v1alpha have the same messages). Built in code: they are small and frozen.
 * From grpc-proto: grpc/health/v1/health.proto, grpc/reflection/v1/reflection.proto.
 */
import { create, createFileRegistry, type DescFile, type DescService } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  EnumDescriptorProtoSchema,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  MessageOptionsSchema,
  MethodDescriptorProtoSchema,
  ServiceDescriptorProtoSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";

interface FieldOptions {
  readonly repeated?: boolean;
  /** Index of the message's oneof. */
  readonly oneofIndex?: number;
  readonly typeName?: string;
}

function field(name: string, number: number, type: Type, options: FieldOptions = {}) {
  return create(FieldDescriptorProtoSchema, {
    name,
    number,
    type,
    label: options.repeated === true ? Label.REPEATED : Label.OPTIONAL,
    jsonName: name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    ...(options.oneofIndex === undefined ? {} : { oneofIndex: options.oneofIndex }),
    ...(options.typeName === undefined ? {} : { typeName: options.typeName }),
  });
}

function message(name: string, fields: ReturnType<typeof field>[], oneof?: string): DescriptorProto {
  return create(DescriptorProtoSchema, {
    name,
    field: fields,
    oneofDecl: oneof === undefined ? [] : [{ name: oneof }],
  });
}

function healthProto(): FileDescriptorProto {
  const check = ".grpc.health.v1.HealthCheckRequest";
  const answer = ".grpc.health.v1.HealthCheckResponse";
  const response = message("HealthCheckResponse", [
    field("status", 1, Type.ENUM, { typeName: `${answer}.ServingStatus` }),
  ]);
  response.enumType.push(
    create(EnumDescriptorProtoSchema, {
      name: "ServingStatus",
      value: ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].map((name, number) => ({ name, number })),
    }),
  );
  return create(FileDescriptorProtoSchema, {
    name: "grpc/health/v1/health.proto",
    package: "grpc.health.v1",
    syntax: "proto3",
    messageType: [message("HealthCheckRequest", [field("service", 1, Type.STRING)]), response],
    service: [
      create(ServiceDescriptorProtoSchema, {
        name: "Health",
        method: [
          create(MethodDescriptorProtoSchema, { name: "Check", inputType: check, outputType: answer }),
          create(MethodDescriptorProtoSchema, {
            name: "Watch",
            inputType: check,
            outputType: answer,
            serverStreaming: true,
          }),
        ],
      }),
    ],
  });
}

function reflectionProto(version: "v1" | "v1alpha"): FileDescriptorProto {
  const prefix = `.grpc.reflection.${version}.`;
  const of = (typeName: string, oneofIndex?: number): FieldOptions => ({
    typeName: prefix + typeName,
    ...(oneofIndex === undefined ? {} : { oneofIndex }),
  });
  const one = { oneofIndex: 0 };
  return create(FileDescriptorProtoSchema, {
    name: `grpc/reflection/${version}/reflection.proto`,
    package: `grpc.reflection.${version}`,
    syntax: "proto3",
    messageType: [
      message(
        "ServerReflectionRequest",
        [
          field("host", 1, Type.STRING),
          field("file_by_filename", 3, Type.STRING, one),
          field("file_containing_symbol", 4, Type.STRING, one),
          field("file_containing_extension", 5, Type.MESSAGE, of("ExtensionRequest", 0)),
          field("all_extension_numbers_of_type", 6, Type.STRING, one),
          field("list_services", 7, Type.STRING, one),
        ],
        "message_request",
      ),
      message("ExtensionRequest", [field("containing_type", 1, Type.STRING), field("extension_number", 2, Type.INT32)]),
      message(
        "ServerReflectionResponse",
        [
          field("valid_host", 1, Type.STRING),
          field("original_request", 2, Type.MESSAGE, of("ServerReflectionRequest")),
          field("file_descriptor_response", 4, Type.MESSAGE, of("FileDescriptorResponse", 0)),
          field("all_extension_numbers_response", 5, Type.MESSAGE, of("ExtensionNumberResponse", 0)),
          field("list_services_response", 6, Type.MESSAGE, of("ListServiceResponse", 0)),
          field("error_response", 7, Type.MESSAGE, of("ErrorResponse", 0)),
        ],
        "message_response",
      ),
      message("FileDescriptorResponse", [field("file_descriptor_proto", 1, Type.BYTES, { repeated: true })]),
      message("ExtensionNumberResponse", [
        field("base_type_name", 1, Type.STRING),
        field("extension_number", 2, Type.INT32, { repeated: true }),
      ]),
      message("ListServiceResponse", [
        field("service", 1, Type.MESSAGE, { repeated: true, typeName: `${prefix}ServiceResponse` }),
      ]),
      message("ServiceResponse", [field("name", 1, Type.STRING)]),
      message("ErrorResponse", [field("error_code", 1, Type.INT32), field("error_message", 2, Type.STRING)]),
    ],
    service: [
      create(ServiceDescriptorProtoSchema, {
        name: "ServerReflection",
        method: [
          create(MethodDescriptorProtoSchema, {
            name: "ServerReflectionInfo",
            inputType: `${prefix}ServerReflectionRequest`,
            outputType: `${prefix}ServerReflectionResponse`,
            clientStreaming: true,
            serverStreaming: true,
          }),
        ],
      }),
    ],
  });
}

/** google/rpc/error_details.proto, as far as our errors use it: with it grpcurl prints which field was at fault. */
function errorDetailsProto(): FileDescriptorProto {
  const entry = message("MetadataEntry", [field("key", 1, Type.STRING), field("value", 2, Type.STRING)]);
  entry.options = create(MessageOptionsSchema, { mapEntry: true });
  const info = message("ErrorInfo", [
    field("reason", 1, Type.STRING),
    field("domain", 2, Type.STRING),
    field("metadata", 3, Type.MESSAGE, { repeated: true, typeName: ".google.rpc.ErrorInfo.MetadataEntry" }),
  ]);
  info.nestedType.push(entry);
  const name = "google/rpc/error_details.proto";
  return create(FileDescriptorProtoSchema, { name, package: "google.rpc", syntax: "proto3", messageType: [info] });
}

function loadFile(proto: FileDescriptorProto): DescFile {
  const file = createFileRegistry(proto, () => undefined).getFile(proto.name);
  if (file === undefined) throw new Error(`${proto.name} cannot be read`);
  return file;
}

function loadService(proto: FileDescriptorProto): DescService {
  const service = loadFile(proto).services[0];
  if (service === undefined) throw new Error(`${proto.name} has no service`);
  return service;
}

export const errorDetailsFile: DescFile = loadFile(errorDetailsProto());
export const healthService: DescService = loadService(healthProto());
export const reflectionServices: Readonly<Record<"v1" | "v1alpha", DescService>> = {
  v1: loadService(reflectionProto("v1")),
  v1alpha: loadService(reflectionProto("v1alpha")),
};
