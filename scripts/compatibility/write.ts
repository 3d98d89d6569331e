/** Writes docs/compatibility.md anew. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCompatibilityPage } from "./run.ts";

writeFileSync(join(import.meta.dirname, "../../docs/compatibility.md"), await makeCompatibilityPage());
