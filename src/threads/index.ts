/** The threads of the server: what each serves, and those beside the main thread. */
export { type Database, openDatabase } from "./database.ts";
export { type RpcThreads, startRpcThreads } from "./rpc-threads.ts";
