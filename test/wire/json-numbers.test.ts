/** Which bodies JSON.parse alone would lose numbers of, against what each number's own text says. SEED replays a run. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { mayLose } from "../../src/wire/json/parse.ts";
import { seed } from "./fuzz-support.ts";

const digits = (max: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${max}}$`));
/** JSON's grammar of a number: minus, whole part, fraction, exponent. */
const number = fc
  .record({
    minus: fc.constantFrom("", "-"),
    whole: digits(20).map((text) => text.replace(/^0+(?=\d)/, "")),
    fraction: fc.option(fc.oneof(digits(20), fc.constantFrom("0", "000", "50")), { nil: undefined }),
    exponent: fc.option(fc.stringMatching(/^[eE][+-]?[0-9]{1,3}$/), { nil: undefined }),
  })
  .map(({ minus, whole, fraction, exponent }) => ({
    text: `${minus}${whole}${fraction === undefined ? "" : `.${fraction}`}${exponent ?? ""}`,
    loses:
      exponent === undefined
        ? fraction === undefined
          ? whole.length >= 16
          : /^0+$/.test(fraction)
        : !exponent.includes("-"),
  }));

test(`numbers in lists and objects (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(number, { maxLength: 6 }), fc.constantFrom("", " ", "\n"), (numbers, space) => {
      const list = `[${numbers.map(({ text }) => text).join(`${space},${space}`)}${space}]`;
      const object = `{${numbers.map(({ text }, i) => `"k${i}":${space}${text}`).join(",")}}`;
      const loses = numbers.some((one) => one.loses);
      expect(mayLose(list), list).toBe(loses);
      expect(mayLose(object), object).toBe(loses);
    }),
    { seed, numRuns: 20_000 },
  );
  fc.assert(
    fc.property(number, ({ text, loses }) => {
      expect(mayLose(text), text).toBe(loses);
    }),
    { seed, numRuns: 5_000 },
  );
});

test.each([
  ["[0.1,-0.25,3]", false],
  ["[1e-7,0.12345678901234567]", false],
  ["[1.0]", true],
  ['{"id":18446744073709551615}', true],
  ['{"a":"no number","b":[true,null]}', false],
])("%s", (text, loses) => expect(mayLose(text)).toBe(loses));
