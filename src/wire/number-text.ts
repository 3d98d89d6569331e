/** Numbers as JSON has them, so that a whole one with a fraction still shows it. */

const scratch = new Float32Array(1);

/** The shortest decimal that reads back as the same float32, as Qdrant writes it. */
export function floatText(value: number): string {
  if (!Number.isFinite(value)) return "null";
  if (Number.isInteger(value)) return Math.abs(value) < 1e21 ? `${value}.0` : String(value);
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    scratch[0] = short;
    if (scratch[0] === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

/** A double, recognizable as one. */
export function doubleText(value: number): string {
  if (!Number.isFinite(value)) return "null";
  const text = String(value);
  return Number.isInteger(value) && !text.includes("e") ? (Object.is(value, -0) ? "-0.0" : `${text}.0`) : text;
}
