import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "clients/typescript/test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "test/native/**"],
    // Servers, child processes and the addon: a process per file keeps them apart.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The machine may be busy: what is polled for comes late rather than never.
    expect: { poll: { timeout: 10_000 } },
    reporters: ["default"],
  },
});
