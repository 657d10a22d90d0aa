// A gateway that plays its part: sessions in every state, one of them running, over the real HTTP and SSE shapes.
// `npm run mock` serves it on port 8000 for `npm run dev`, and the built page itself where there is one.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const PORT = Number(process.env['MOCK_PORT'] ?? 8000);
const TICK_MILLISECONDS = Number(process.env['MOCK_TICK_MILLISECONDS'] ?? 500);
const PAGE = fileURLToPath(new URL('../../gateway/src/triptych_gateway/ui/', import.meta.url));
const CONTENT_TYPES = /** @type {Record<string, string>} */ ({
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
});
const WEIGHTS = [0.3, 0.65, 0.05];
const MODELS = {
  bundled: [
    {
      id: 'mobilenet-v2-imagenet',
      pack: 'bundled',
      device: 'cpu',
      notice: 'These are ImageNet features and not CLIP: they find similar pictures, but cannot be searched by text.',
    },
    { id: 'dlib-resnet-v1', pack: 'bundled', device: 'cpu', notice: null },
    null,
  ],
  production: [
    { id: 'open_clip/ViT-B-32/laion2b_s34b_b79k', pack: 'production', device: 'cuda:0', notice: null },
    {
      id: 'insightface/buffalo_l',
      pack: 'production',
      device: 'cuda:0',
      notice: 'buffalo_l is licensed for non-commercial research only.',
    },
    null,
  ],
};

/**
 * @typedef {object} Play
 * @property {number} id
 * @property {string} name
 * @property {string} rootPath
 * @property {string} status
 * @property {number} photos
 * @property {number} faces
 * @property {number[]} done how much of each phase needs no more work
 * @property {number} failed
 * @property {'bundled' | 'production'} pack
 * @property {number} revision
 * @property {number} stalledSeconds how long nothing goes on though it should
 */

/** @type {(play: Partial<Play> & {id: number}) => Play} */
const play = (given) => ({
  name: `Session ${given.id}`,
  rootPath: '/photos',
  status: 'pending',
  photos: 1200,
  faces: 846,
  done: [0, 0, 0],
  failed: 0,
  pack: 'bundled',
  revision: 1,
  stalledSeconds: 0,
  ...given,
});

const plays = [
  play({
    id: 1,
    name: 'Holidays 2025',
    rootPath: '/photos/2025/holidays',
    status: 'completed',
    done: [1200, 1200, 846],
    failed: 3,
  }),
  play({
    id: 2,
    name: 'Scanned negatives',
    rootPath: '/photos/archive/scans',
    status: 'failed',
    pack: 'production',
    done: [1200, 1200, 310],
    failed: 1,
  }),
  play({ id: 3, name: 'Phone backup', rootPath: '/photos/phone', status: 'paused', done: [1200, 412, 0] }),
  play({
    id: 4,
    name: 'Wedding',
    rootPath: '/photos/2026/wedding',
    status: 'running',
    pack: 'production',
    done: [1200, 517, 0],
    failed: 2,
  }),
  play({
    id: 6,
    name: 'Scans',
    rootPath: '/photos/scans',
    status: 'running',
    done: [1200, 820, 0],
    stalledSeconds: 40,
  }),
  play({
    id: 5,
    name: 'A very long name of a session that somebody typed without thinking of small screens',
    rootPath: '/photos/a/rather/deep/folder/of/photos/that/goes/on/and/on',
  }),
];

/** @param {Play} at */
function snapshot(at) {
  const totals = [at.photos, at.photos, at.faces];
  const shares = at.done.map((done, index) => done / Number(totals[index]));
  const active = shares.findIndex((share) => share < 1);
  const names = ['training', 'face_detection', 'clustering'];
  const phases = names.map((name, index) => {
    const [done, total, share] = [Number(at.done[index]), Number(totals[index]), Number(shares[index])];
    const status =
      share >= 1
        ? 'completed'
        : index !== active || at.status === 'pending'
          ? 'pending'
          : at.status === 'running' && index === 1
            ? 'processing'
            : at.status;
    const isAtWork = status === 'running' || status === 'processing';
    const perMinute = [540, 128.4, 4200][index] ?? 0;
    const isPhotos = index < 2;
    return {
      name,
      status,
      progress: {
        current: done,
        total: share > 0 || isPhotos ? total : 0,
        percentage: Math.floor(share * 1000) / 10,
        etaSeconds: isAtWork ? Math.round(((total - done) / perMinute) * 60) : null,
        imagesPerMinute: isAtWork ? perMinute : null,
        unique: null,
        skipped: index === 0 ? 214 : null,
      },
      weight: WEIGHTS[index],
      failed: index === 0 ? at.failed : 0,
      error:
        status === 'failed'
          ? {
              code: 'service_unavailable',
              message: 'The clustering service went away and did not come back within 10 minutes.',
            }
          : null,
      stats:
        index === 1 && done > 0
          ? { facesDetected: Math.round(done * 0.705) }
          : index === 2 && share >= 1
            ? { groupsCreated: 5, facesUngrouped: 41 }
            : {},
      model: MODELS[at.pack][index],
      elapsedSeconds: done > 0 ? Math.round((done / perMinute) * 60) : null,
      startedAt: done > 0 ? '2026-01-12T10:00:00Z' : null,
      completedAt: share >= 1 ? '2026-01-12T10:02:00Z' : null,
    };
  });
  const sum = shares.reduce((total, share, index) => total + share * Number(WEIGHTS[index]) * 100, 0);
  const percentage = at.status === 'completed' ? 100 : Math.min(99.9, Math.floor(sum * 10) / 10);
  const etaSeconds =
    at.status === 'running'
      ? Math.round(phases.reduce((eta, phase) => eta + (phase.progress.etaSeconds ?? 0), 0))
      : null;
  const [training, faceDetection, clustering] = phases;
  return {
    sessionId: at.id,
    revision: at.revision,
    updatedAt: new Date().toISOString(),
    stale: false,
    overallStatus: at.status,
    overallProgress: {
      percentage,
      etaSeconds,
      etaLowSeconds: etaSeconds && Math.round(etaSeconds * 0.7),
      etaHighSeconds: etaSeconds && Math.round(etaSeconds * 1.5),
      etaConfidence: etaSeconds && (percentage > 70 ? 'high' : 'medium'),
      stall: at.stalledSeconds > 0 ? stall(at.stalledSeconds) : null,
      currentPhase: active < 0 ? 'completed' : names[active],
      startedAt: at.status === 'pending' ? null : '2026-01-12T10:00:00Z',
      elapsedSeconds: at.status === 'pending' ? null : 196,
    },
    phases: { training, faceDetection, clustering, face_detection: faceDetection },
  };
}

/** @param {number} lasts */
function stall(lasts) {
  const seconds = Math.floor(lasts);
  const since = new Date(Date.now() - 1_000 * seconds).toISOString();
  const message = `no progress for ${seconds} s: facedetect is not answering`;
  return { phase: 'face_detection', since, seconds, message };
}

/** @param {Play} at */
function session(at) {
  const total = at.status === 'pending' ? 0 : at.photos;
  return {
    id: at.id,
    name: at.name,
    status: at.status,
    rootPath: at.rootPath,
    categoryId: null,
    category: null,
    config: {},
    totalImages: total,
    processedImages: at.done[0],
    failedImages: at.failed,
    skippedImages: 214,
    createdAt: '2026-01-12T09:58:00Z',
    startedAt: null,
    completedAt: null,
    pausedAt: null,
  };
}

/** @param {Play} at */
function failedJobs(at) {
  const reasons = [
    ['corrupt_image', 'The file ends in the middle of the picture.'],
    ['unsupported_format', 'It is no picture in a format that is read here.'],
    ['permission_denied', 'The file may not be read.'],
  ];
  return Array.from({ length: at.failed }, (_none, index) => {
    const [code, message] = reasons[index % reasons.length] ?? [];
    return {
      id: index + 1,
      sessionId: at.id,
      assetId: index + 40,
      status: 'failed',
      imagePath: `${at.rootPath}/DSC_${1040 + index * 7}.JPG`,
      errorMessage: message,
      errorCode: code,
      errorPhase: 'training',
    };
  });
}

function groups() {
  return [212, 97, 41, 12, 2].map((faceCount, index) => ({
    id: index + 1,
    faceCount,
    cohesion: 0.83 - index * 0.05,
    personId: index === 0 ? 7 : null,
    model: 'dlib-resnet-v1',
    sampleFaces: Array.from({ length: Math.min(faceCount, 9) }, (_none, face) => ({
      id: index * 100 + face,
      assetId: face,
      box: { x: 0.2, y: 0.2, width: 0.2, height: 0.2 },
      score: 0.99,
      probability: 0.9,
      imageUrl: `/api/v1/images/${face}/full`,
      cropUrl: `/api/v1/faces/${index * 100 + face}/crop`,
    })),
  }));
}

/** @param {number} face */
function crop(face) {
  if (face === 203) return null;
  const [hue, lean] = [(Math.floor(face / 100) * 71 + 20) % 360, (face % 100) * 3 - 12];
  const wall = `hsl(${hue} 25% ${60 + lean / 2}%)`;
  const skin = `hsl(${(hue + 15) % 360} 40% 78%)`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72">
    <rect width="72" height="72" fill="${wall}"/>
    <g transform="rotate(${lean} 36 40)">
      <ellipse cx="36" cy="40" rx="18" ry="23" fill="${skin}"/>
      <circle cx="29" cy="36" r="2.5"/><circle cx="43" cy="36" r="2.5"/>
      <path d="M28 50q8 6 16 0" fill="none" stroke="#000" stroke-width="2"/>
    </g>
  </svg>`;
}

/** @type {Map<import('node:http').ServerResponse, Play>} */
const readers = new Map();

setInterval(() => {
  for (const at of plays.filter(({ status }) => status === 'running')) {
    const totals = [at.photos, at.photos, at.faces];
    const active = at.done.findIndex((done, index) => done < Number(totals[index]));
    if (at.stalledSeconds > 0) at.stalledSeconds += TICK_MILLISECONDS / 1_000;
    else if (active < 0) at.status = 'completed';
    else at.done[active] = Math.min(Number(totals[active]), Number(at.done[active]) + ([41, 11, 60][active] ?? 0));
    at.revision += 1;
  }
  for (const [reader, at] of readers) tell(reader, at);
}, TICK_MILLISECONDS);

/** @type {(reader: import('node:http').ServerResponse, at: Play) => void} */
function tell(reader, at) {
  const event =
    at.status === 'completed' ? 'complete' : at.status === 'failed' || at.status === 'cancelled' ? 'error' : 'progress';
  reader.write(`id: ${at.revision}\nevent: ${event}\ndata: ${JSON.stringify(snapshot(at))}\n\n`);
  if (event === 'progress') return;
  readers.delete(reader);
  reader.end();
}

/** @type {(items: unknown[]) => object} */
const page = (items) => ({ items, total: items.length, page: 1, pageSize: 100, hasMore: false });

/** @type {(status: number, code: string, message: string) => [number, object]} */
const refuse = (status, code, message) => [status, { detail: message, message, error: { code, message, details: {} } }];

/** @type {(method: string, path: string, body: {name?: string, rootPath?: string}) => [number, object]} */
function answer(method, path, body) {
  if (path === '/health')
    return [
      200,
      {
        status: 'ok',
        services: {
          embedder: {
            status: 'ok',
            model: 'mobilenet-v2-imagenet',
            device: 'cpu',
            precision: 'fp32',
            capacity: 8,
            pack: 'bundled',
          },
          facedetect: {
            status: 'ok',
            model: 'dlib-resnet-v1',
            device: 'cpu',
            precision: 'fp32',
            capacity: 8,
            pack: 'bundled',
          },
          cluster: { status: 'ok' },
          progress: { status: 'ok' },
        },
      },
    ];
  if (path === '/api/v1/faces/clusters') return [200, page(groups())];
  if (path === '/api/v1/training/sessions') {
    if (method === 'GET') return [200, page([...plays].reverse().map(session))];
    if (!body.rootPath?.startsWith('/photos'))
      return refuse(400, 'path_not_allowed', 'This folder is outside of the media roots (/photos).');
    plays.push(play({ id: plays.length + 1, name: body.name ?? '', rootPath: body.rootPath }));
    return [201, session(/** @type {Play} */ (plays.at(-1)))];
  }
  const [, id, rest] = /^\/api\/v1\/training\/sessions\/(\d+)\/?(.*)$/.exec(path) ?? [];
  const at = plays.find((each) => each.id === Number(id));
  if (!at) return refuse(404, 'session_not_found', `There is no session ${id ?? ''}.`);
  if (rest === 'progress-unified') return [200, snapshot(at)];
  if (rest === 'jobs') return [200, page(failedJobs(at))];
  const again = { 'restart-training': 0, 'restart-faces': 1, 'restart-clustering': 2 }[rest ?? ''];
  if (again !== undefined && method === 'POST') {
    at.done = at.done.map((done, index) => (index < again ? done : 0));
    at.status = 'running';
    at.revision += 1;
    return [200, { sessionId: at.id, status: 'running', message: '' }];
  }
  const became = { start: 'running', resume: 'running', pause: 'paused', cancel: 'cancelled' }[rest ?? ''];
  if (became && method === 'POST') {
    if (at.status === 'completed')
      return refuse(409, 'session_completed', 'The session is completed: restart a phase instead.');
    at.status = became;
    at.revision += 1;
    return [200, { sessionId: at.id, status: became, message: '' }];
  }
  return [200, session(at)];
}

createServer(async (request, response) => {
  const path = new URL(request.url ?? '/', 'http://mock').pathname;
  const streamed = /\/sessions\/(\d+)\/progress-unified\/stream$/.exec(path);
  const at = streamed && plays.find((each) => each.id === Number(streamed[1]));
  if (at) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    readers.set(response, at);
    response.on('close', () => readers.delete(response));
    tell(response, at);
  } else if (/\/faces\/\d+\/crop$/.test(path)) {
    const picture = crop(Number(path.split('/').at(-2)));
    response.writeHead(picture ? 200 : 404, { 'Content-Type': 'image/svg+xml' }).end(picture);
  } else if (path.startsWith('/api/') || path === '/health') {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const [status, body] = answer(request.method ?? 'GET', path, JSON.parse(Buffer.concat(chunks).toString() || '{}'));
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  } else {
    const file = join(PAGE, normalize(path === '/' ? '/index.html' : path));
    await readFile(file).then(
      (bytes) =>
        response
          .writeHead(200, { 'Content-Type': CONTENT_TYPES[extname(file)] ?? 'application/octet-stream' })
          .end(bytes),
      () => response.writeHead(404).end(),
    );
  }
}).listen(PORT, '127.0.0.1');
