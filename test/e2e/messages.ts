/** Short forms of the messages that the tests send. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Distance } from "../../gen/qdrant/collections_pb.js";
import { Collections } from "../../gen/qdrant/collections_service_pb.js";
import type { ValueSchema } from "../../gen/qdrant/json_with_int_pb.js";
import type { PointStructSchema } from "../../gen/qdrant/points_pb.js";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import type { Call } from "./server-process.ts";

export type PointInit = MessageInitShape<typeof PointStructSchema>;
export type ValueInit = MessageInitShape<typeof ValueSchema>;

export const num = (value: number | bigint) => ({ pointIdOptions: { case: "num" as const, value: BigInt(value) } });
export const uuid = (value: string) => ({ pointIdOptions: { case: "uuid" as const, value } });
export const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
export const integer = (value: number) => ({ kind: { case: "integerValue" as const, value: BigInt(value) } });
export const enable = { selectorOptions: { case: "enable" as const, value: true } };

export const dense = (...data: number[]) => ({
  vectorsOptions: { case: "vector" as const, value: { vector: { case: "dense" as const, value: { data } } } },
});

export const nearest = (...data: number[]) => ({
  variant: { case: "nearest" as const, value: { variant: { case: "dense" as const, value: { data } } } },
});

export const keyword = (key: string, value: string) => ({
  conditionOneOf: {
    case: "field" as const,
    value: { key, match: { matchValue: { case: "keyword" as const, value } } },
  },
});

export const byIds = (...ids: number[]) => ({
  pointsSelectorOneOf: { case: "points" as const, value: { ids: ids.map(num) } },
});

let made = 0;

export async function makeCollection(client: Call, size = 2, distance = Distance.Dot): Promise<string> {
  const collectionName = `e2e-${++made}`;
  const params = { case: "params" as const, value: { size: BigInt(size), distance } };
  await client.call(Collections.method.create, { collectionName, vectorsConfig: { config: params } });
  return collectionName;
}

export async function countOf(client: Call, collectionName: string): Promise<number> {
  return Number((await client.call(Points.method.count, { collectionName, exact: true })).result?.count);
}
