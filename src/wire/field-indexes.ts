/** Payload indexes: CreateFieldIndexCollection to core types and PayloadSchemaInfo back. */
import { create, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import {
  type PayloadIndexParams,
  PayloadIndexParamsSchema,
  type PayloadSchemaInfo,
  PayloadSchemaInfoSchema,
  PayloadSchemaType,
} from "../../gen/qdrant/collections_pb.js";
import { type CreateFieldIndexCollection, FieldType } from "../../gen/qdrant/points_pb.js";
import { badInput, type FieldIndex, type FieldIndexType } from "../core/index.ts";
import { checkOrdering } from "./ordering.ts";
import { emptyError } from "./quantization.ts";
import { checkTextParams } from "./text-params.ts";

const fieldTypes: Readonly<Record<number, FieldIndexType>> = {
  [FieldType.FieldTypeKeyword]: "keyword",
  [FieldType.FieldTypeInteger]: "integer",
  [FieldType.FieldTypeFloat]: "float",
  [FieldType.FieldTypeGeo]: "geo",
  [FieldType.FieldTypeText]: "text",
  [FieldType.FieldTypeBool]: "bool",
  [FieldType.FieldTypeDatetime]: "datetime",
  [FieldType.FieldTypeUuid]: "uuid",
};

const schemaTypes: Readonly<Record<FieldIndexType, PayloadSchemaType>> = {
  keyword: PayloadSchemaType.Keyword,
  integer: PayloadSchemaType.Integer,
  float: PayloadSchemaType.Float,
  geo: PayloadSchemaType.Geo,
  text: PayloadSchemaType.Text,
  bool: PayloadSchemaType.Bool,
  datetime: PayloadSchemaType.Datetime,
  uuid: PayloadSchemaType.Uuid,
};

export interface CreateFieldIndexRequest {
  readonly collection: string;
  readonly wait: boolean;
  readonly key: string;
  readonly type: FieldIndexType;
  readonly params: string;
}

export function mapCreateFieldIndex(message: CreateFieldIndexCollection): CreateFieldIndexRequest {
  const { fieldType, fieldIndexParams, fieldName: key } = message;
  checkOrdering(message.ordering);
  if (key === "") throw emptyError("field_name");
  if (fieldType === undefined) throw badInput("field_type: missing", "field_type");
  const type = fieldTypes[fieldType];
  if (type === undefined) throw badInput(`field_type: unknown type ${fieldType}`, "field_type");
  const paramsCase = fieldIndexParams?.indexParams.case;
  if (paramsCase !== undefined && paramsCase !== `${type}IndexParams`) {
    throw badInput("field_index_params: they are not those of the field's type", "field_index_params");
  }
  const params = fieldIndexParams === undefined ? undefined : checkParams(fieldIndexParams);
  return {
    collection: message.collectionName,
    wait: message.wait ?? false,
    key,
    type,
    params: params === undefined || paramsCase === undefined ? "" : toJsonString(PayloadIndexParamsSchema, params),
  };
}

function checkParams(params: PayloadIndexParams): PayloadIndexParams {
  const one = params.indexParams;
  if (one.case === "textIndexParams") {
    return create(PayloadIndexParamsSchema, {
      indexParams: { case: "textIndexParams", value: checkTextParams(one.value) },
    });
  }
  if (one.case === "integerIndexParams" && one.value.lookup === false && one.value.range === false) {
    throw badInput(
      "Validation error in body: [lookup: the 'lookup' and 'range' capabilities can't be both disabled]",
      "field_index_params.integer_index_params.lookup",
    );
  }
  return params;
}

export function toPayloadSchemaInfo(index: FieldIndex): PayloadSchemaInfo {
  return create(PayloadSchemaInfoSchema, {
    dataType: schemaTypes[index.type],
    points: BigInt(index.points),
    params: index.params === "" ? undefined : fromJsonString(PayloadIndexParamsSchema, index.params),
  });
}
