/** Qdrant's /logger, of a server with several threads: what it shows is what the log then holds. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Points } from "../../gen/qdrant/points_service_pb.js";
import { addonBuilt, connectTo, ServerProcess } from "../e2e/server-process.ts";

const keys = { main: "the-main-key-of-this-test", reader: "the-readers-key-of-it" };

let server: ServerProcess;
beforeAll(async () => {
  if (!addonBuilt) return;
  const env = {
    SEALPOINT_API_KEY: keys.main,
    SEALPOINT_READ_ONLY_API_KEY: keys.reader,
    SEALPOINT_RPC_THREADS: "2",
  };
  server = await ServerProcess.start({ logLevel: "warn", env });
});
afterAll(async () => {
  await server?.stop();
});

async function call(method: string, body?: string, key = keys.main) {
  const { code, json } = await server.rest(method, "/logger", body, { "api-key": key });
  return { code, result: json.result, error: json.status.error };
}

async function countOverGrpc(): Promise<void> {
  const client = connectTo(server.address, { "api-key": keys.main });
  await client.call(Points.method.count, { collectionName: "nobody" }).catch(() => undefined);
  client.close();
}

describe.skipIf(!addonBuilt)("/logger", () => {
  test("shows the level, and changes it for every thread", async () => {
    const disk = {
      enabled: null,
      log_file: null,
      log_level: null,
      buffer_size_bytes: null,
      span_events: null,
      format: null,
    };
    const shown = { log_level: "WARN", span_events: null, format: null, color: null, on_disk: disk };
    expect((await call("GET", undefined, keys.reader)).result).toEqual(shown);
    await countOverGrpc();
    expect(server.log).not.toContain('"level":"debug"');

    const change = { log_level: "info,hyper=warn,debug", color: "auto", span_events: ["new", "new"], unheard: 1 };
    expect((await call("POST", JSON.stringify(change))).result).toBe(true);
    const changed = { ...shown, log_level: "info,hyper=warn,debug", color: "auto", span_events: ["new"] };
    expect((await call("GET")).result).toEqual(changed);
    await vi.waitFor(async () => {
      await countOverGrpc();
      expect(server.log).toMatch(/"level":"debug".*"thread":"rpc-\d".*"msg":"call"/);
    });

    expect((await call("POST", '{"log_level":"off"}')).result).toBe(true);
    const before = server.log.length;
    for (let i = 0; i < 8; i++) await countOverGrpc();
    expect(server.log.slice(before)).not.toContain('"level"');
  });

  test("refuses what it cannot mean, and who may not", async () => {
    expect((await call("POST", "{}", keys.reader)).code).toBe(403);
    for (const [body, error] of [
      ["", "Format error in JSON body: EOF while parsing a value"],
      ["[]", "Format error in JSON body: invalid type: sequence, expected struct LoggerConfig"],
      ['{"log_level":7}', "Format error in JSON body: log_level: invalid type: integer, expected a string"],
      ['{"on_disk":{"enabled":"yes"}}', "Format error in JSON body: on_disk.enabled: invalid type: string"],
      ['{"span_events":["new","old"]}', "Format error in JSON body: span_events[1]: unknown variant"],
      [
        '{"on_disk":{"enabled":true}}',
        "Bad request: log file is not specified (it can only be specified in the config file)",
      ],
      ['{"on_disk":{"log_file":"/etc/passwd"}}', "Bad request: on_disk.log_file"],
    ] as const) {
      expect(await call("POST", body)).toMatchObject({ code: 400, error: expect.stringContaining(error) });
    }
    expect((await call("POST", '{"on_disk":{"enabled":false}}')).result).toBe(true);
    expect((await call("GET")).result).toMatchObject({ on_disk: { enabled: false, log_file: null } });
  });
});
