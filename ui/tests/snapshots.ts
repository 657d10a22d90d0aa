/** Snapshots for tests: a session in the middle of its first phase, with whatever a test needs otherwise. */

import type { OverallStatus, Phase, PhaseName, Snapshot } from '../src/lib/api/types';

export function phase(name: PhaseName, changes: Partial<Phase> = {}): Phase {
  return {
    name,
    status: 'pending',
    progress: {
      current: 0,
      total: 0,
      percentage: 0,
      etaSeconds: null,
      imagesPerMinute: null,
      unique: null,
      skipped: null,
    },
    weight: { training: 0.3, face_detection: 0.65, clustering: 0.05 }[name],
    failed: 0,
    error: null,
    stats: {},
    stage: null,
    run: 1,
    model: null,
    elapsedSeconds: null,
    startedAt: null,
    completedAt: null,
    ...changes,
  };
}

/** The three phases; face detection under both of its names. */
export function phasesOf(training: Phase, faceDetection: Phase, clustering: Phase): Snapshot['phases'] {
  return { training, faceDetection, clustering, face_detection: faceDetection };
}

export function snapshot(revision: number, overallStatus: OverallStatus, changes: Partial<Snapshot> = {}): Snapshot {
  return {
    sessionId: 7,
    revision,
    updatedAt: '2026-01-12T10:00:00Z',
    stale: false,
    overallStatus,
    overallProgress: {
      percentage: overallStatus === 'completed' ? 100 : 12.5,
      etaSeconds: null,
      etaLowSeconds: null,
      etaHighSeconds: null,
      etaConfidence: null,
      stall: null,
      currentPhase: overallStatus === 'completed' ? 'completed' : 'training',
      weighting: 'fixed',
      startedAt: null,
      elapsedSeconds: null,
    },
    phases: phasesOf(phase('training', { status: 'running' }), phase('face_detection'), phase('clustering')),
    ...changes,
  };
}

/** Three phases that are done, with numbers of their own. */
export function completedPhases(): Snapshot['phases'] {
  return phasesOf(
    done('training', 1_200, { imagesProcessed: 1_200, imagesEmbedded: 1_198 }),
    done('face_detection', 1_200, { imagesProcessed: 1_200, facesDetected: 846 }),
    done('clustering', 846, { facesProcessed: 846, clustersCreated: 12 }),
  );
}

function done(name: PhaseName, total: number, stats: Record<string, number>): Phase {
  const { progress } = phase(name);
  return phase(name, {
    status: 'completed',
    progress: { ...progress, current: total, total, percentage: 100 },
    stats,
    elapsedSeconds: 200,
  });
}
