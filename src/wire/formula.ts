/** qdrant.Formula, Expression and OrderBy to core types. */
import {
  type DecayParamsExpression,
  Direction,
  type Expression as ExpressionMessage,
  type Formula,
  type OrderBy as OrderByMessage,
  type StartFrom,
} from "../../gen/qdrant/points_pb.js";
import {
  badInput,
  type Expression,
  limits,
  type OrderBy,
  type PayloadValue,
  parseDatetime,
  type Query,
} from "../core/index.ts";
import { mapCondition, mapGeoPoint, toMicros } from "./filter.ts";
import { mapValue } from "./vector-values.ts";

interface Budget {
  expressions: number;
}

export function mapFormula({ expression, defaults }: Formula, field: string): Query {
  const given: Record<string, PayloadValue> = {};
  for (const [key, value] of Object.entries(defaults)) given[key] = mapValue(value, `${field}.defaults.${key}`, 1);
  return {
    kind: "formula",
    expression: toExpression(expression, `${field}.expression`, 1, { expressions: 0 }),
    defaults: given,
  };
}

function toExpression(
  message: ExpressionMessage | undefined,
  field: string,
  depth: number,
  budget: Budget,
): Expression {
  if (depth > limits.expressionDepthMax) {
    throw badInput(`${field}: nested deeper than ${limits.expressionDepthMax} levels`, field);
  }
  if (++budget.expressions > limits.expressionsMax) {
    throw badInput(`${field}: more than ${limits.expressionsMax} expressions in one formula`, field);
  }
  const inner = (one: ExpressionMessage | undefined, name: string): Expression =>
    toExpression(one, `${field}.${name}`, depth + 1, budget);
  const list = (many: readonly ExpressionMessage[], name: string): Expression[] =>
    many.map((one, i) => inner(one, `${name}[${i}]`));
  const one = message?.variant;
  switch (one?.case) {
    case "constant":
      if (!Number.isFinite(one.value)) throw badInput(`${field}.constant: must be finite`, `${field}.constant`);
      return { kind: "constant", value: one.value };
    case "variable":
      return { kind: "variable", name: one.value };
    case "condition":
      return { kind: "condition", condition: mapCondition(one.value, `${field}.condition`) };
    case "geoDistance":
      return {
        kind: "geo_distance",
        origin: mapGeoPoint(one.value.origin, `${field}.geo_distance.origin`),
        to: one.value.to,
      };
    case "datetime": {
      const value = parseDatetime(one.value);
      if (value === undefined) throw badInput(`${field}.datetime: is not a datetime`, `${field}.datetime`);
      return { kind: "datetime", value };
    }
    case "datetimeKey":
      return { kind: "datetime_key", key: one.value };
    case "mult":
      return { kind: "mult", of: list(one.value.mult, "mult") };
    case "sum":
      return { kind: "sum", of: list(one.value.sum, "sum") };
    case "div":
      return {
        kind: "div",
        left: inner(one.value.left, "div.left"),
        right: inner(one.value.right, "div.right"),
        byZeroDefault: one.value.byZeroDefault,
      };
    case "neg":
    case "abs":
    case "sqrt":
    case "exp":
    case "log10":
    case "ln":
      return { kind: one.case, of: inner(one.value, one.case) };
    case "pow":
      return {
        kind: "pow",
        base: inner(one.value.base, "pow.base"),
        exponent: inner(one.value.exponent, "pow.exponent"),
      };
    case "expDecay":
      return toDecay("exp_decay", one.value, `${field}.exp_decay`, depth, budget);
    case "gaussDecay":
      return toDecay("gauss_decay", one.value, `${field}.gauss_decay`, depth, budget);
    case "linDecay":
      return toDecay("lin_decay", one.value, `${field}.lin_decay`, depth, budget);
    default:
      throw badInput(`${field}: missing`, field);
  }
}

function toDecay(
  kind: "exp_decay" | "gauss_decay" | "lin_decay",
  { x, target, scale = 1, midpoint = 0.5 }: DecayParamsExpression,
  field: string,
  depth: number,
  budget: Budget,
): Expression {
  if (!(scale > 0)) throw badInput(`${field}.scale: value ${scale} invalid, must be larger than 0`, `${field}.scale`);
  // Only a linear decay may reach its end.
  const midpointHolds = kind === "lin_decay" ? midpoint >= 0 && midpoint < 1 : midpoint > 0 && midpoint < 1;
  if (!midpointHolds) {
    throw badInput(`${field}.midpoint: value ${midpoint} invalid, must be between 0.0 and 1.0`, `${field}.midpoint`);
  }
  return {
    kind,
    x: toExpression(x, `${field}.x`, depth + 1, budget),
    target: target === undefined ? undefined : toExpression(target, `${field}.target`, depth + 1, budget),
    scale,
    midpoint,
  };
}

export function mapOrderBy({ key, direction, startFrom }: OrderByMessage, field: string): OrderBy {
  if (key === "") throw badInput(`${field}.key: empty`, `${field}.key`);
  if (direction !== undefined && direction !== Direction.Asc && direction !== Direction.Desc) {
    throw badInput(`${field}.direction: unknown direction ${direction}`, `${field}.direction`);
  }
  return {
    key,
    direction: direction === Direction.Desc ? "desc" : "asc",
    startFrom: startFrom === undefined ? undefined : mapStart(startFrom, `${field}.start_from`),
  };
}

function mapStart({ value }: StartFrom, field: string): OrderBy["startFrom"] {
  switch (value.case) {
    case "float":
      if (Number.isNaN(value.value)) throw badInput(`${field}.float: not a number`, `${field}.float`);
      return { kind: "float", value: value.value };
    case "integer":
      return { kind: "integer", value: value.value };
    case "timestamp":
      return { kind: "datetime", value: toMicros(value.value, field) };
    case "datetime": {
      const micros = parseDatetime(value.value);
      if (micros === undefined) throw badInput(`${field}.datetime: is not a datetime`, `${field}.datetime`);
      return { kind: "datetime", value: micros };
    }
    default:
      return undefined;
  }
}
