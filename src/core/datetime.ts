/** Dates as Qdrant reads them in payloads, filters and formulas; native/addon/filter/datetime.cc reads the same forms. */
const form =
  /^\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?\s*(Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?)?)?$/;

/** Microseconds since 1970-01-01T00:00:00Z; undefined when the text is no date. Without an offset it is UTC. */
export function parseDatetime(text: string): bigint | undefined {
  const found = form.exec(text);
  if (found === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1, 7)
    .map((part) => (part === undefined ? 0 : Number(part)));
  const [fraction = "", offset = "Z"] = [found[7], found[8]];
  // 60 is a leap second, which counts as the first second of the next minute.
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const seconds = date.getTime() / 1_000 + hour * 3_600 + minute * 60 + second;
  const away = /^([+-])(\d{2}):?(\d{2})?$/.exec(offset);
  let shift = 0;
  if (away !== null) {
    const [hours, minutes] = [Number(away[2]), Number(away[3] ?? "0")];
    if (hours > 23 || minutes > 59) return undefined;
    shift = (away[1] === "-" ? -1 : 1) * (hours * 3_600 + minutes * 60);
  }
  return BigInt(seconds - shift) * 1_000_000n + BigInt(fraction.padEnd(6, "0").slice(0, 6));
}
