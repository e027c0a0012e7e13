// Bundles the playground into dist/: index.html, and assets/ with hashed names and compressed copies.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const out = 'dist';
const base = '/playground/';

const common = {
  bundle: true,
  define: { 'process.env.NODE_ENV': '"production"' },
  entryNames: 'assets/[name]-[hash]',
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
  minify: true,
  outdir: out,
  target: 'es2022',
};

// Returns the output of an entry point, and its style sheet.
function outputOf(result, entry) {
  const [path, output] = Object.entries(result.metafile.outputs).find(([, made]) => made.entryPoint?.endsWith(entry));
  const name = (file) => file.slice(out.length + 1);
  return { script: name(path), style: output.cssBundle && name(output.cssBundle) };
}

async function bundleWorkers() {
  const entries = {
    editor: 'node_modules/monaco-editor/esm/vs/editor/editor.worker.js',
    graphql: 'node_modules/monaco-graphql/esm/graphql.worker.js',
    json: 'node_modules/monaco-editor/esm/vs/language/json/json.worker.js',
  };
  const result = await build({ ...common, entryPoints: Object.values(entries), format: 'iife', entryNames: 'assets/[name]-[hash]' });
  return Object.fromEntries(
    Object.entries(entries).map(([label, entry]) => [label, base + outputOf(result, basename(entry)).script]),
  );
}

async function bundlePage(workers) {
  const result = await build({
    ...common,
    define: { ...common.define, WORKERS: JSON.stringify(workers) },
    entryPoints: ['src/main.jsx'],
    format: 'esm',
    splitting: true,
    chunkNames: 'assets/[name]-[hash]',
    assetNames: 'assets/[name]-[hash]',
    jsx: 'automatic',
    loader: { '.graphql': 'text', '.ttf': 'file' },
    publicPath: base,
  });
  return outputOf(result, 'main.jsx');
}

async function compress() {
  const folder = join(out, 'assets');
  for (const name of await readdir(folder)) {
    const content = await readFile(join(folder, name));
    const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } };
    await writeFile(join(folder, `${name}.br`), brotliCompressSync(content, brotli));
    await writeFile(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }));
  }
}

await rm(out, { recursive: true, force: true });
await mkdir(out);
const { script, style } = await bundlePage(await bundleWorkers());
const page = await readFile('src/index.html', 'utf8');
await writeFile(join(out, 'index.html'), page.replace('@script@', base + script).replace('@style@', base + style));
await compress();
