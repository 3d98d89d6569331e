/** A chunk's vectors are read natively; JSON.parse and Math.fround say what is right, of sound texts and of damaged ones. */
import { createCipheriv, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { nativeOpenS5File, nativeTakeS5Vectors } from "../../src/native/index.ts";

const dimensions = 3;

interface Chunk {
  vectors: { vector: number[] }[];
}

const take = (text: string, rows: number) => {
  const vectors = new Float32Array(rows * dimensions);
  const rest = nativeTakeS5Vectors(Buffer.from(text), dimensions, rows, vectors);
  return { vectors: [...vectors], rest: rest?.toString("utf8") };
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const numbers = [
  ..."0 -0 1 -1 7 10 0.5 -0.25 1e3 1E+3 1e-3 0.0001 123456789 0.000000123456 3.4028234e38 -3.4028235e38 1e-45 1.4e-45".split(
    " ",
  ),
  ..."9007199254740993 0.1000000000000000055511151231257827 1.00000005960464477539062 16777217 33554435 5e-324 2.2250738585072011e-308".split(
    " ",
  ),
  ..."123456789012345678901234567890e-10 0.00000000000000000000000000000000000000000000011 1e22 1e23 8.988465674311580e-17 0e5 0.0e-400".split(
    " ",
  ),
];

describe("numbers of a chunk", () => {
  it("are what JSON.parse and Math.fround make of them", () => {
    for (const number of numbers) {
      const text = `{"chunkId":0,"vectors":[{"id":"a","vector":[${number}, 1,${number} ]}]}`;
      const { vectors, rest } = take(text, 1);
      const right = Math.fround(JSON.parse(number));
      if (rest === undefined) throw new Error(`${number} is left to the usual reader`);
      expect(vectors, number).toEqual([right, 1, right]);
      expect(rest).toBe('{"chunkId":0,"vectors":[{"id":"a","vector":0}]}');
    }
  });

  it("are right whatever their digits", () => {
    let seed = 1;
    const next = (max: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % max;
    };
    const digits = (count: number): string => Array.from({ length: count }, () => next(10)).join("");
    const random = (): string => {
      const whole = next(2) === 0 ? "0" : `${1 + next(9)}${digits(next(20))}`;
      const places = next(2) === 0 ? "" : `.${digits(1 + next(25))}`;
      const power = next(4) === 0 ? `${next(2) === 0 ? "e" : "E"}${["", "+", "-"][next(3)]}${next(30)}` : "";
      return `${next(2) === 0 ? "-" : ""}${whole}${places}${power}`;
    };
    for (let round = 0; round < 2_000; round++) {
      const row = Array.from({ length: dimensions }, random);
      const right = row.map((number) => Math.fround(JSON.parse(number)));
      const { vectors, rest } = take(`{"vectors":[{"vector":[${row.join(",")}]}]}`, 1);
      if (right.every(Number.isFinite)) expect(vectors, row.join(" ")).toEqual(right);
      else expect(rest, row.join(" ")).toBeUndefined();
    }
  });

  it.each('01 .5 1. +1 -a 1e 1e+ 0x10 NaN Infinity -Infinity 1e39 -1e39 null "1" [1] 1_0 ١ - -.5 1.e3'.split(" "))(
    "%s is left to the usual reader",
    (number) => {
      expect(take(`{"vectors":[{"vector":[1,${number},2]}]}`, 1).rest).toBeUndefined();
    },
  );
});

const sound = [
  '{"chunkId":3,"vectors":[{"id":"a","vector":[1,2,3],"metadata":{"vector":[9,9,9],"t":"a \\"quoted\\" ] } text"}},{"id":"b","vector":[4,5,6]}]}',
  ' {\n "vectors" : [ { "metadata" : { "a" : [ [ ], { } , null, true, -1.5e3 ] } , "vector" : [ 1 , 2 , 3 ] , "id" : "ä\\u00e4\\\\" } , {"vector":[4,5,6],"id":"b"} ] , "chunkId" : 3 }\n',
];

describe("the rest of a chunk", () => {
  it.each(sound)("is the chunk without its vectors", (text) => {
    const { vectors, rest } = take(text, 2);
    expect(vectors).toEqual([1, 2, 3, 4, 5, 6]);
    const whole = JSON.parse(text) as Chunk;
    for (const record of whole.vectors) Object.assign(record, { vector: 0 });
    expect(JSON.parse(rest as string)).toEqual(whole);
  });

  it.each([
    ['{"vectors":[{"vector":[1,2,3]}]}', 2],
    ['{"vectors":[{"vector":[1,2,3]},{"vector":[1,2,3]}]}', 1],
    ['{"vectors":[{"vector":[1,2]}]}', 1],
    ['{"vectors":[{"vector":[1,2,3,4]}]}', 1],
    ['{"vectors":[{"vector":[1,2,3],"vector":[4,5,6]}]}', 1],
    ['{"vectors":[{"vector":[1,2,3]}],"vectors":[{"vector":[4,5,6]}]}', 1],
    ['{"vectors":[{"vector":[1,2,3],"\\u0076ector":[4,5,6]}]}', 1],
    ['{"vectors":[{"id":"a"}]}', 1],
    ['{"vectors":[{"vector":null}]}', 1],
    ['{"vectors":{"vector":[1,2,3]}}', 1],
    ['[{"vector":[1,2,3]}]', 1],
    ['{"vectors":[{"vector":[1,2,3]}]}x', 1],
    ["", 1],
  ])("%s with %i rows is left to the usual reader", (text, rows) => {
    expect(take(text, rows).rest).toBeUndefined();
  });

  it("is JSON exactly if the chunk is, wherever that is damaged", () => {
    let taken = 0;
    for (const text of sound) {
      const bytes = [...text];
      for (let at = 0; at < bytes.length; at++) {
        for (const put of ["", ",", '"', "]", "}", "[", "{", "0", "\\", " ", "x"]) {
          const damaged = [...bytes.slice(0, at), put, ...bytes.slice(at + 1)].join("");
          const { vectors, rest } = take(damaged, 2);
          if (rest === undefined) continue;
          taken++;
          const right = parsed(damaged) as Chunk | undefined;
          expect(parsed(rest) === undefined, damaged).toBe(right === undefined);
          if (right === undefined) continue;
          expect(vectors, damaged).toEqual(right.vectors.flatMap(({ vector }) => vector));
          for (const record of right.vectors) Object.assign(record, { vector: 0 });
          expect(parsed(rest)).toEqual(right);
        }
      }
    }
    expect(taken).toBeGreaterThan(500);
  });
});

describe("a file", () => {
  const key = randomBytes(32);
  const sealed = (text: string): Buffer => {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  };

  it("opens in its place under its key", () => {
    for (const text of ["", "a", "some text of more than one block"]) {
      const file = sealed(text);
      expect(nativeOpenS5File(file, key)).toBe(true);
      expect(file.toString("utf8", 12, file.length - 16)).toBe(text);
    }
  });

  it("leaves nothing of what does not open", () => {
    const text = "some text of more than one block";
    const whole = sealed(text);
    for (let at = 0; at < whole.length; at++) {
      const file = Buffer.from(whole);
      file[at] = (file[at] as number) ^ 1;
      expect(nativeOpenS5File(file, key)).toBe(false);
      expect(file.subarray(12, -16).every((byte) => byte === 0)).toBe(true);
    }
    expect(nativeOpenS5File(Buffer.from(whole), randomBytes(32))).toBe(false);
    for (const size of [0, 11, 27]) expect(nativeOpenS5File(whole.subarray(0, size), key)).toBe(false);
  });
});
