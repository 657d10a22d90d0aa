/** The words and signs in which a session's state is told. */

import {
  isTerminal,
  type Directory,
  type Model,
  type OverallStatus,
  type Person,
  type Phase,
  type PhaseName,
  type PhaseStatus,
  type SessionStatus,
  type Snapshot,
} from './api/types';
import type { Action } from './api/client';
import { count, countOf, remaining } from './format';

export const PHASE_SIGNS: Record<PhaseName, string> = { training: '🎨', face_detection: '😊', clustering: '🔗' };

export const PHASE_NAMES: Record<PhaseName, string> = {
  training: 'Training',
  face_detection: 'Face Detection',
  clustering: 'Clustering',
};

/** What each phase counts. */
export const PHASE_UNITS: Record<PhaseName, string> = {
  training: 'photos',
  face_detection: 'photos',
  clustering: 'faces',
};

/** How a phase stands: its status, and of one that is next in a session at work what is done before it begins. */
export type Standing = PhaseStatus | 'discovering' | 'preparing';

export const STATUS_NAMES: Record<SessionStatus | Standing, string> = {
  pending: 'Pending',
  discovering: 'Looking for photos',
  preparing: 'Getting ready',
  running: 'Running',
  processing: 'Running',
  paused: 'Paused',
  completed: 'Complete',
  failed: 'Failed',
  cancelled: 'Cancelled',
};

export function phasesInOrder(snapshot: Snapshot): Phase[] {
  return [snapshot.phases.training, snapshot.phases.faceDetection, snapshot.phases.clustering];
}

/**
 * Whether a session is one of an older kind, which trained and did no more: it has no record of the other phases, not
 * even as work that waits.
 */
export function isTrainingOnly({ phases }: Snapshot): boolean {
  return phases.training.run > 0 && phases.faceDetection.run === 0 && phases.clustering.run === 0;
}

/** The production pack always embeds with open_clip, whose model names (ViT-B-32 …) need not say so. */
function isClip(model: Model): boolean {
  return model.pack === 'production' || /clip/i.test(model.id);
}

/** What a phase does, in the words of its work; CLIP is named only where CLIP is at work. */
export function phaseActivity(phase: Phase): string {
  if (phase.name === 'face_detection') return 'Analyzing Faces';
  if (phase.name === 'clustering') return 'Grouping Similar Faces';
  if (phase.model === null) return 'Generating Embeddings';
  return isClip(phase.model) ? 'Generating CLIP Embeddings' : `Generating Embeddings (${phase.model.id})`;
}

/** What a session does now, with its sign: "😊 Face Detection – Analyzing Faces". */
export function headline(snapshot: Snapshot): { sign: string; text: string } {
  const { overallStatus: status, overallProgress } = snapshot;
  const phases = phasesInOrder(snapshot);
  if (status === 'completed') {
    return { sign: '✓', text: isTrainingOnly(snapshot) ? 'Training Complete' : 'All Phases Complete' };
  }
  // Between the last phase's end and the commit of its results the current phase may already read "completed".
  const phase = phases.find((each) => each.name === overallProgress.currentPhase) ?? snapshot.phases.clustering;
  const name = PHASE_NAMES[phase.name];
  switch (status) {
    case 'pending':
      return { sign: '○', text: 'Not started' };
    case 'paused':
      return { sign: '❚❚', text: `Paused in ${name}` };
    case 'cancelled':
      return { sign: '■', text: `Cancelled in ${name}` };
    case 'failed': {
      const failed = phases.find((each) => each.status === 'failed') ?? phase;
      return { sign: '✕', text: `${PHASE_NAMES[failed.name]} failed` };
    }
    case 'running':
      return atWork(phase, standing(phase, snapshot));
  }
}

function atWork(phase: Phase, at: Standing): { sign: string; text: string } {
  if (at === 'discovering') return { sign: '🔎', text: STATUS_NAMES.discovering };
  const activity = at === 'preparing' ? STATUS_NAMES.preparing : phaseActivity(phase);
  return { sign: PHASE_SIGNS[phase.name], text: `${PHASE_NAMES[phase.name]} – ${activity}` };
}

/** How a phase stands, told alike in the session's headline and in the phase's own panel. */
export function standing(phase: Phase, { overallStatus, overallProgress }: Snapshot): Standing {
  const isNext = phase.name === overallProgress.currentPhase && phase.status === 'pending';
  if (overallStatus !== 'running' || !isNext) return phase.status;
  return phase.stage === 'discovering' ? 'discovering' : 'preparing';
}

/** How long a running session still takes, as a range while that is uncertain; empty if unknown or stalled. */
export function timeLeft(snapshot: Snapshot): string {
  const { etaSeconds, etaLowSeconds, etaHighSeconds, etaConfidence, stall } = snapshot.overallProgress;
  if (snapshot.overallStatus !== 'running' || stall !== null) return '';
  return etaConfidence === 'high' ? remaining(etaSeconds) : remaining(etaSeconds, etaLowSeconds, etaHighSeconds);
}

/** Since when nothing goes on, and why as far as that is known; empty while work goes on. */
export function stallInWords(snapshot: Snapshot): string {
  const message = snapshot.overallProgress.stall?.message ?? '';
  return message.charAt(0).toUpperCase() + message.slice(1);
}

/** What a person is asked before something is done that cannot be taken back at once. */
export interface Confirmation {
  question: string;
  consequence: string;
  /** What the button that goes ahead says. */
  yes: string;
  /** What the button that does not says. */
  no: string;
}

/** Something that a person may ask of a session, and what its button says. */
export interface Offer {
  action: Action;
  label: string;
  /** Asked first; null where nothing is lost by it. */
  confirmation: Confirmation | null;
}

const PAUSE: Offer = { action: 'pause', label: 'Pause', confirmation: null };
const CONTINUE: Offer = { action: 'start', label: 'Continue with what is left', confirmation: null };
const CANCEL: Offer = {
  action: 'cancel',
  label: 'Cancel',
  confirmation: {
    question: 'Cancel this session?',
    consequence: 'The work stops. What is done stays, and the session can go on with the rest at any time.',
    yes: 'Cancel the session',
    no: 'Let it go on',
  },
};
export const RETRY_FAILED: Offer = { action: 'retryFailed', label: 'Try all failed photos again', confirmation: null };

const OFFERS: Record<OverallStatus, readonly Offer[]> = {
  pending: [{ action: 'start', label: 'Start training', confirmation: null }],
  running: [PAUSE, CANCEL],
  paused: [{ action: 'resume', label: 'Resume', confirmation: null }, CANCEL],
  failed: [CONTINUE],
  cancelled: [CONTINUE],
  completed: [],
};

const KEPT = 'What is there is shown until the new results are whole, and named people keep their names.';
const RESTARTS: Record<PhaseName, Offer> = {
  training: restart(
    'restartTraining',
    'Train again',
    'Every photo is embedded anew; then faces are looked for and grouped again.',
  ),
  face_detection: restart(
    'restartFaces',
    'Find faces again',
    'Every photo is searched for faces anew, and the faces are grouped again.',
  ),
  clustering: restart('restartClustering', 'Group faces again', 'The faces of the whole library are grouped again.'),
};

function restart(action: Action, label: string, consequence: string): Offer {
  const confirmation = { question: `${label}?`, consequence: `${consequence} ${KEPT}`, yes: label, no: 'Leave it' };
  return { action, label, confirmation };
}

/** What a phase's restart is called: of one that was never begun, it is its first time. */
function restartOffer({ name, run }: Phase): Offer {
  const { action, label, confirmation } = RESTARTS[name];
  return run > 0 ? { action, label, confirmation } : { action, label: label.replace(' again', ''), confirmation: null };
}

/** What can be asked of a session now, and which of its phases can be done again: those before it must be completed. */
export function offers(snapshot: Snapshot): { now: readonly Offer[]; again: readonly Offer[] } {
  const now = OFFERS[snapshot.overallStatus];
  if (!isTerminal(snapshot.overallStatus)) return { now, again: [] };
  const phases = phasesInOrder(snapshot);
  const unfinished = phases.findIndex(({ status }) => status !== 'completed');
  const again = phases.slice(0, unfinished < 0 ? phases.length : unfinished + 1).map(restartOffer);
  return { now, again };
}

/** Whether photos that failed can be tried again at once: while a session runs they wait for its next run. */
export function canRetryFailed(snapshot: Snapshot): boolean {
  return isTerminal(snapshot.overallStatus) && phasesInOrder(snapshot).some(({ failed }) => failed > 0);
}

/** The one number that tells what a phase has come to, and what it counts; null before there is one. */
export function outcome(phase: Phase): { value: number; what: string } | null {
  const { stats } = phase;
  if (phase.stage === 'discovering') return figureOf(stats['imagesFound'], 'photo found', 'photos found');
  switch (phase.name) {
    case 'training':
      return figureOf(stats['imagesProcessed'], 'photo processed', 'photos processed');
    case 'face_detection':
      return figureOf(stats['facesDetected'], 'face found', 'faces found');
    case 'clustering':
      return figureOf(stats['clustersCreated'], 'group made', 'groups made');
  }
}

function figureOf(value: number | undefined, one: string, many: string): { value: number; what: string } | null {
  return value === undefined ? null : { value, what: value === 1 ? one : many };
}

/** Numbers of a phase that neither its outcome nor its counts tell already. */
const TOLD: ReadonlySet<string> = new Set([
  'imagesFound',
  'imagesProcessed',
  'imagesEmbedded',
  'facesDetected',
  'facesProcessed',
  'clustersCreated',
]);

export function otherNumbers(phase: Phase): [key: string, value: number][] {
  return Object.entries(phase.stats).filter(([key]) => !TOLD.has(key));
}

/** What somebody is called; those whom nobody has named yet are told apart by their number. */
export function personName(person: Pick<Person, 'id' | 'name'>): string {
  return person.name ?? `Person ${person.id}`;
}

/** The last part of a path. */
export function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** How many photos a directory holds, as far as they were counted. */
export function photosIn({ imageCount, imageCountIsComplete }: Directory): string {
  return imageCountIsComplete ? countOf(imageCount, 'photo', 'photos') : `over ${count(imageCount)} photos`;
}

/** What of a directory is trained; empty where nothing is. */
export function trainingInWords({ trainingStatus, trainedCount }: Directory): string {
  switch (trainingStatus) {
    case 'never':
      return '';
    case 'complete':
      return '✓ trained';
    case 'partial':
      return `${count(trainedCount)} trained`;
    case 'in_progress':
      return 'in training';
  }
}
