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

export const STATUS_NAMES: Record<SessionStatus | PhaseStatus, string> = {
  pending: 'Pending',
  discovering: 'Looking for photos',
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
  if (status === 'completed') return { sign: '✓', text: 'All Phases Complete' };
  // Between the last phase's end and the commit of its results the current phase may already read "completed".
  const phase = phases.find((each) => each.name === overallProgress.currentPhase) ?? snapshot.phases.clustering;
  const name = PHASE_NAMES[phase.name];
  switch (status) {
    case 'pending':
      return { sign: '○', text: 'Not started' };
    case 'paused':
      return { sign: '⏸︎', text: `Paused in ${name}` };
    case 'cancelled':
      return { sign: '■', text: `Cancelled in ${name}` };
    case 'failed': {
      const failed = phases.find((each) => each.status === 'failed') ?? phase;
      return { sign: '✕', text: `${PHASE_NAMES[failed.name]} failed` };
    }
    case 'running':
      return isDiscovering(snapshot)
        ? { sign: '🔎', text: 'Looking for photos' }
        : { sign: PHASE_SIGNS[phase.name], text: `${name} – ${phaseActivity(phase)}` };
  }
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

/** Photos are still being looked for: the session runs, but its first phase has neither begun nor a total. */
function isDiscovering(snapshot: Snapshot): boolean {
  const { training } = snapshot.phases;
  return training.status === 'pending' && training.progress.total === 0;
}

/** Something that a person may ask of a session, and what its button says. */
export interface Offer {
  action: Action;
  label: string;
}

const PAUSE: Offer = { action: 'pause', label: 'Pause' };
const CANCEL: Offer = { action: 'cancel', label: 'Cancel' };
const CONTINUE: Offer = { action: 'start', label: 'Continue with what is left' };

const OFFERS: Record<OverallStatus, readonly Offer[]> = {
  pending: [{ action: 'start', label: 'Start training' }],
  running: [PAUSE, CANCEL],
  paused: [{ action: 'resume', label: 'Resume' }, CANCEL],
  failed: [CONTINUE],
  cancelled: [CONTINUE],
  completed: [],
};

const RESTARTS: Record<PhaseName, Offer> = {
  training: { action: 'restartTraining', label: 'Train again' },
  face_detection: { action: 'restartFaces', label: 'Find faces again' },
  clustering: { action: 'restartClustering', label: 'Group faces again' },
};

/** What can be asked of a session now, and which of its phases can be done again: those before it must be completed. */
export function offers(snapshot: Snapshot): { now: readonly Offer[]; again: readonly Offer[] } {
  const now = OFFERS[snapshot.overallStatus];
  if (!isTerminal(snapshot.overallStatus)) return { now, again: [] };
  const phases = phasesInOrder(snapshot);
  const unfinished = phases.findIndex(({ status }) => status !== 'completed');
  const again = phases.slice(0, unfinished < 0 ? phases.length : unfinished + 1).map(({ name }) => RESTARTS[name]);
  const retry: Offer = { action: 'retryFailed', label: 'Try failed photos again' };
  return { now, again: snapshot.phases.training.failed > 0 ? [retry, ...again] : again };
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
