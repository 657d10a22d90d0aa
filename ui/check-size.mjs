// Says how much compressed JavaScript the built page loads before it shows anything, and fails where that is too much.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const MOST_BYTES = 150_000;
const PAGE = new URL('../gateway/src/triptych_gateway/ui/index.html', import.meta.url);

const html = await readFile(PAGE, 'utf8');
const scripts = [...html.matchAll(/<(?:script|link)\b[^>]*\b(?:src|href)="([^"]+\.js)"/g)].map(([, path]) => path ?? '');
if (scripts.length === 0) throw new Error(`${fileURLToPath(PAGE)} loads no script: build the page first.`);
const sizes = await Promise.all(scripts.map(async (path) => gzipSync(await readFile(new URL(path, PAGE))).length));
const bytes = sizes.reduce((sum, size) => sum + size, 0);
console.log(`The page loads ${bytes} bytes of compressed JavaScript; ${MOST_BYTES} are allowed.`);
if (bytes > MOST_BYTES) process.exitCode = 1;
