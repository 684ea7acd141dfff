/** Makes dist: the same sources once as ES modules and once as CommonJS, each with its types. */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const found = createRequire(import.meta.url).resolve("typescript/package.json");
const compiler = join(dirname(found), "bin", "tsc");

rmSync(join(root, "dist"), { recursive: true, force: true });
for (const [folder, type, project] of [
  ["esm", "module", "tsconfig.json"],
  ["cjs", "commonjs", "tsconfig.cjs.json"],
]) {
  execFileSync(process.execPath, [compiler, "-p", join(root, project)], { stdio: "inherit" });
  writeFileSync(join(root, "dist", folder, "package.json"), `{ "type": "${type}" }\n`);
}
