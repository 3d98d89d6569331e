export { type RestServer, type RestServerOptions, startRestServer } from "./server.ts";
