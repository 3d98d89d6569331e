/** The tests of test/e2e once more, against servers with four RPC threads and clients that spread their calls over twelve connections. */
import { describe } from "vitest";

process.env.SEALPOINT_TEST_RPC_THREADS = "4";

describe("access", () => import("../e2e/access.test.ts").then(() => undefined));
describe("bad input", () => import("../e2e/bad-input.test.ts").then(() => undefined));
describe("S5", () => import("../e2e/s5.test.ts").then(() => undefined));
describe("sealing", () => import("../e2e/sealing.test.ts").then(() => undefined));
describe("streams", () => import("../e2e/streams.test.ts").then(() => undefined));
