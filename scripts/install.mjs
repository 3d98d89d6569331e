// Runs when the package is installed: builds the addon from the system's libraries, unless it is there already.
// In a checkout it does nothing: `make` builds there.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const isCheckout = existsSync(join(root, "src/cli/index.ts"));

if (!isCheckout && !existsSync(join(root, "build/Release/sealpoint.node"))) {
  process.stdout.write("sealpoint: building the native addon (about a minute)\n");
  const built = spawnSync("bash", [join(root, "scripts/build-native.sh")], { cwd: root, stdio: "inherit" });
  if (built.status !== 0) {
    process.stderr.write(
      "\nsealpoint: the native addon could not be built. It needs a C++20 compiler and three libraries. On Debian 12:\n" +
        "  sudo apt-get install -y g++ librocksdb-dev libfaiss-dev libroaring-dev libssl-dev libstemmer-dev libutf8proc-dev\n" +
        "then install sealpoint again.\n\n",
    );
    process.exit(1);
  }
}
