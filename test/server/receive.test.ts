/** Messages put together from frames: in any cut, within the bound, in memory that is used again and never shared. SEED replays a run. */
import { expect, test, vi } from "vitest";
import { rawUnary } from "../../src/api/grpc/index.ts";
import { MessageAssembler, releaseRequest } from "../../src/api/grpc/receive.ts";
import { limits } from "../../src/core/index.ts";
import { makeRandom, seed } from "../wire/fuzz-support.ts";
import { callUnary, connect, decode, encode, paths, startEcho } from "./echo-service.ts";

function framed(message: Uint8Array, flag = 0): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flag, 0);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

test("messages come out as they went in, however they are cut", () => {
  const random = makeRandom(seed);
  console.log(`seed ${seed}`);
  const sizes = [
    0,
    1,
    5,
    100,
    16_384,
    127 * 1024,
    128 * 1024,
    400_000,
    400_000,
    1024 * 1024 - 5,
    1024 * 1024,
    3_000_000,
  ];
  for (let round = 0; round < 30; round++) {
    const assembler = new MessageAssembler(-1);
    const sent = Array.from({ length: 6 }, (_, i) => {
      const size = sizes[Math.floor(random() * sizes.length)] as number;
      return framed(Buffer.alloc(size, round * 7 + i + 1), i % 2);
    });
    const wire = Buffer.concat(sent);
    const frameMax = random() < 0.3 ? 50 : 40_000;
    let next = 0;
    for (let at = 0; at < Math.min(wire.length, frameMax * 2_000); ) {
      const end = Math.min(wire.length, at + 1 + Math.floor(random() * frameMax));
      for (const message of assembler.write(wire.subarray(at, end))) {
        expect(message.equals(sent[next] as Buffer)).toBe(true);
        next++;
        if (random() < 0.5) releaseRequest(message.subarray(5));
      }
      at = end;
    }
    if (wire.length <= frameMax * 2_000) expect(next).toBe(sent.length);
  }
});

test("a message over the bound is refused at its header, in grpc-js's words", () => {
  const assembler = new MessageAssembler(10);
  expect(assembler.write(framed(Buffer.alloc(10)))).toHaveLength(1);
  expect(() => assembler.write(framed(Buffer.alloc(11)).subarray(0, 5))).toThrow(
    "Received message larger than max (11 vs 10)",
  );
});

test("memory that was given back serves one message at a time, given back twice too", () => {
  const one = () => new MessageAssembler(-1).write(framed(Buffer.alloc(400_000, 1)))[0] as Buffer;
  const first = one();
  releaseRequest(first.subarray(5));
  releaseRequest(first.subarray(5));
  const second = one();
  const third = one();
  expect(second.buffer).not.toBe(third.buffer);
  // Foreign memory is not taken in.
  const foreign = Buffer.allocUnsafeSlow(500_000);
  releaseRequest(foreign);
  expect(Array.from({ length: limits.spareRequestsMax + 1 }, one).some(({ buffer }) => buffer === foreign.buffer)).toBe(
    false,
  );
});

test("a length alone takes no memory for the whole message", () => {
  const assembler = new MessageAssembler(-1);
  const header = Buffer.from([0, 0x7f, 0, 0, 0]);
  const before = process.memoryUsage().arrayBuffers;
  assembler.write(header);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1024 * 1024);
});

test("the server's calls are received by it", async () => {
  const held: number[] = [];
  const server = await startEcho({
    one: rawUnary(async (request) => {
      held.push(request.buffer.byteLength);
      return encode({ number: request.byteLength });
    }),
  });
  const client = connect(server.port);
  try {
    const bytes = encode({ blob: Buffer.alloc(300_000) });
    expect(decode((await callUnary(client, paths.one, Buffer.from(bytes))).bytes).number).toBe(bytes.length);
    // grpc-js's own decoder takes just what the message needs.
    expect(held[0]).toBeGreaterThan(bytes.length + 5);
  } finally {
    client.close();
    server.forceClose();
  }
});

test("what the first part of a large message lay in is wiped before it is used again", () => {
  const one = () => new MessageAssembler(-1).write(framed(Buffer.alloc(200_000)))[0];
  // From here on every memory is a fresh one.
  const held = Array.from({ length: limits.spareRequestsMax }, one);
  const allocate = vi.spyOn(Buffer, "allocUnsafeSlow");
  const assembler = new MessageAssembler(-1);
  const bytes = framed(Buffer.alloc(3_000_000, 0x5a));
  expect(assembler.write(bytes.subarray(0, 900_000))).toEqual([]);
  const [first] = allocate.mock.results.map(({ value }) => value as Buffer);
  expect(first?.subarray(5, 900_000).every((byte) => byte === 0x5a)).toBe(true);
  const [message] = assembler.write(bytes.subarray(900_000));
  allocate.mockRestore();
  expect(message?.equals(bytes)).toBe(true);
  expect(first?.subarray(0, 900_000).every((byte) => byte === 0)).toBe(true);
  expect(held).toHaveLength(limits.spareRequestsMax);
});

test("what may have been sealed is wiped before its memory is used again", () => {
  for (const size of [100, 700_000]) {
    const [message] = new MessageAssembler(-1).write(framed(Buffer.alloc(size, 0x5a))) as [Buffer];
    const body = message.subarray(5);
    expect(body.every((byte) => byte === 0x5a)).toBe(true);
    releaseRequest(body, true);
    expect(body.every((byte) => byte === 0)).toBe(true);
  }
});
