// Calls a script's main inside its sandbox. Node.js 18 or newer, bun, deno; their own modules only.
import { Buffer } from "node:buffer";
import { readFileSync, writeSync } from "node:fs";
import * as nodeModule from "node:module";
import process from "node:process";
import { pathToFileURL } from "node:url";

const call = JSON.parse(readFileSync(new URL("call.json", import.meta.url), "utf8"));

// A package that is not found beside the script is looked for where it works
if (nodeModule.registerHooks) {
  const workplace = pathToFileURL(`${process.cwd()}/script`).href;
  nodeModule.registerHooks({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context);
      } catch (error) {
        if (/^[./]|^[a-z]+:/.test(specifier)) throw error;
        return next(specifier, { ...context, parentURL: workplace });
      }
    },
  });
}

function tell(error) {
  const frames = String(error?.stack ?? "")
    .split("\n")
    .filter((line) => /^\s+at /.test(line) && line.includes("/of/"));
  for (const line of frames) console.error(line.replace("file://", ""));
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : `Error: ${String(error)}`);
}

async function returned() {
  const script = await import(new URL(`of/${encodeURIComponent(call.script)}`, import.meta.url).href);
  if (!call.has_main) return undefined;
  const main = script.main ?? script.default;
  const words = call.order === null ? [call.args] : call.order.map((name) => call.args[name]);
  return JSON.stringify((await main(...words)) ?? null);
}

function write(data) {
  for (let at = 0; at < data.length; ) {
    try {
      at += writeSync(3, data, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

try {
  const text = await returned();
  if (call.has_main) {
    if (text === undefined) throw new TypeError("main returned what is not JSON");
    write(Buffer.from(`${text}\n`));
    process.exit(0); // what main has left open is not waited for
  }
} catch (error) {
  tell(error);
  process.exit(1);
}
