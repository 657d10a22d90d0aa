/** What is said of a session in each of its states. */

import { describe, expect, it } from 'vitest';
import type { Directory, Model, OverallProgress, OverallStatus, Phase, Snapshot } from '../src/lib/api/types';
import {
  canRetryFailed,
  headline,
  isTrainingOnly,
  offers,
  outcome,
  photosIn,
  stallInWords,
  standing,
  timeLeft,
  trainingInWords,
} from '../src/lib/wording';
import { completedPhases, phase, phasesOf, snapshot } from './snapshots';

function model(id: string, pack: string): Model {
  return { id, name: null, pack, device: 'cpu', notice: null };
}

function atWork(currentPhase: OverallProgress['currentPhase'], phases: Snapshot['phases']): Snapshot {
  const base = snapshot(1, 'running');
  return { ...base, overallProgress: { ...base.overallProgress, currentPhase }, phases };
}

function running(currentPhase: OverallProgress['currentPhase'], phases: Snapshot['phases']): string {
  const { sign, text } = headline(atWork(currentPhase, phases));
  return `${sign} ${text}`;
}

function inTraining(training: Phase): Snapshot['phases'] {
  return phasesOf(training, phase('face_detection'), phase('clustering'));
}

describe('headline', () => {
  it('names each phase under way with its sign', () => {
    const phases = phasesOf(
      phase('training', { status: 'completed' }),
      phase('face_detection', { status: 'processing' }),
      phase('clustering', { status: 'running' }),
    );
    expect(running('face_detection', phases)).toBe('😊 Face Detection – Analyzing Faces');
    expect(running('clustering', phases)).toBe('🔗 Clustering – Grouping Similar Faces');
  });

  it.each([
    [model('open_clip/ViT-B-32/laion2b_s34b_b79k', 'production'), 'Generating CLIP Embeddings'],
    [model('ViT-B-32', 'production'), 'Generating CLIP Embeddings'],
    [model('mobilenet-v2-imagenet-2', 'bundled'), 'Generating Embeddings (mobilenet-v2-imagenet-2)'],
    [null, 'Generating Embeddings'],
  ])('says CLIP only where CLIP is at work', (at, activity) => {
    const training = phase('training', { status: 'running', model: at });
    expect(running('training', inTraining(training))).toBe(`🎨 Training – ${activity}`);
  });

  it('says what is done before a phase begins as the panel of the phase does', () => {
    const looking = inTraining(phase('training', { stage: 'discovering' }));
    expect(running('training', looking)).toBe('🔎 Looking for photos');
    expect(standing(looking.training, atWork('training', looking))).toBe('discovering');

    const ready = inTraining(phase('training'));
    expect(running('training', ready)).toBe('🎨 Training – Getting ready');
    expect(standing(ready.training, atWork('training', ready))).toBe('preparing');
    expect(standing(ready.clustering, atWork('training', ready))).toBe('pending');
    expect(standing(ready.training, { ...atWork('training', ready), overallStatus: 'paused' })).toBe('pending');
  });

  it('does not say that all is complete before the session is', () => {
    const phases = completedPhases();
    expect(running('completed', phases)).toBe('🔗 Clustering – Grouping Similar Faces');
    expect(headline(snapshot(1, 'completed'))).toEqual({ sign: '✓', text: 'All Phases Complete' });
  });

  it('says of an older session, which only trained, that training is complete', () => {
    const phases = phasesOf(
      phase('training', { status: 'completed' }),
      phase('face_detection', { run: 0 }),
      phase('clustering', { run: 0 }),
    );
    const older = snapshot(1, 'completed', { phases });
    expect(isTrainingOnly(older)).toBe(true);
    expect(isTrainingOnly(snapshot(1, 'pending'))).toBe(false);
    expect(headline(older)).toEqual({ sign: '✓', text: 'Training Complete' });
  });

  it('names the phase that failed', () => {
    const base = snapshot(1, 'failed');
    const phases = { ...base.phases, clustering: phase('clustering', { status: 'failed' }) };
    expect(headline({ ...base, phases }).text).toBe('Clustering failed');
  });
});

describe('the time left', () => {
  const overallProgress = {
    ...snapshot(1, 'running').overallProgress,
    etaSeconds: 200,
    etaLowSeconds: 120,
    etaHighSeconds: 300,
    etaConfidence: 'low' as const,
  };

  it('is a range while it is uncertain', () => {
    expect(timeLeft(snapshot(1, 'running', { overallProgress }))).toBe('2–5 min left');
    const certain = { ...overallProgress, etaConfidence: 'high' as const };
    expect(timeLeft(snapshot(1, 'running', { overallProgress: certain }))).toBe('about 3 min left');
    expect(timeLeft(snapshot(1, 'paused', { overallProgress }))).toBe('');
  });

  it('gives way to the stall', () => {
    const message = 'no progress for 40 s: facedetect is not answering';
    const stall = { phase: 'face_detection' as const, since: '2026-01-12T10:00:00Z', seconds: 40, message };
    const stalled = snapshot(1, 'running', { overallProgress: { ...overallProgress, stall } });
    expect(timeLeft(stalled)).toBe('');
    expect(stallInWords(stalled)).toBe('No progress for 40 s: facedetect is not answering');
    expect(stallInWords(snapshot(1, 'running'))).toBe('');
  });
});

describe('what is offered', () => {
  const done = phasesOf(
    phase('training', { status: 'completed' }),
    phase('face_detection', { status: 'completed' }),
    phase('clustering', { status: 'completed' }),
  );

  it.each([
    ['pending', ['Start training']],
    ['running', ['Pause', 'Cancel']],
    ['paused', ['Resume', 'Cancel']],
    ['failed', ['Continue with what is left']],
    ['cancelled', ['Continue with what is left']],
    ['completed', []],
  ] as const)('to a %s session', (status, labels) => {
    expect(offers(snapshot(1, status)).now.map(({ label }) => label)).toEqual(labels);
  });

  it('is to do a phase again once the session is over and the phases before it are completed', () => {
    const again = (status: 'completed' | 'failed' | 'running', phases = done): string[] =>
      offers(snapshot(1, status, { phases })).again.map(({ label }) => label);

    expect(again('completed')).toEqual(['Train again', 'Find faces again', 'Group faces again']);
    expect(again('failed', { ...done, training: phase('training', { status: 'failed' }) })).toEqual(['Train again']);
    expect(again('running')).toEqual([]);
  });

  it('is to do what an older session never did, without a word about its being done again', () => {
    const phases = { ...done, faceDetection: phase('face_detection', { run: 0 }), clustering: phase('clustering', { run: 0 }) };
    const again = offers(snapshot(1, 'completed', { phases })).again;
    expect(again.map(({ label, confirmation }) => [label, confirmation !== null])).toEqual([
      ['Train again', true],
      ['Find faces', false],
    ]);
  });

  it('is asked about first where something is lost by it', () => {
    const asked = (status: OverallStatus): string[] =>
      offers(snapshot(1, status)).now.flatMap(({ label, confirmation }) => (confirmation ? [label] : []));
    expect([asked('running'), asked('paused'), asked('pending'), asked('failed')]).toEqual([['Cancel'], ['Cancel'], [], []]);
  });
});

describe('failed photos', () => {
  const phases = phasesOf(phase('training'), phase('face_detection', { failed: 2 }), phase('clustering'));

  it('can be tried again at once where some failed in any phase, and nothing runs', () => {
    expect(canRetryFailed(snapshot(1, 'completed', { phases }))).toBe(true);
    expect(canRetryFailed(snapshot(1, 'completed'))).toBe(false);
    expect(canRetryFailed(snapshot(1, 'running', { phases }))).toBe(false);
  });
});

describe('what a phase came to', () => {
  it('is told by the number that matters in it, and is none before there is one', () => {
    expect(outcome(phase('training', { stats: { imagesProcessed: 1 } }))).toEqual({ value: 1, what: 'photo processed' });
    expect(outcome(phase('face_detection', { stats: { facesDetected: 12 } }))).toEqual({ value: 12, what: 'faces found' });
    expect(outcome(phase('clustering', { stats: { clustersCreated: 0 } }))).toEqual({ value: 0, what: 'groups made' });
    expect(outcome(phase('training'))).toBeNull();
  });

  it('is how many photos there are while they are being looked for', () => {
    const looking = phase('training', { stage: 'discovering', stats: { imagesProcessed: 0, imagesFound: 40 } });
    expect(outcome(looking)).toEqual({ value: 40, what: 'photos found' });
  });
});

describe('a directory', () => {
  const directory: Directory = {
    path: '/photos',
    name: 'photos',
    imageCount: 1_200,
    imageCountIsComplete: true,
    selected: false,
    ignored: false,
    trainedCount: 30,
    lastTrainedAt: null,
    trainingStatus: 'partial',
  };

  it('is told by its photos, as far as they were counted, and by what of it is trained', () => {
    expect(photosIn(directory)).toBe('1,200 photos');
    expect(photosIn({ ...directory, imageCountIsComplete: false })).toBe('over 1,200 photos');
    const told = (['never', 'partial', 'complete', 'in_progress'] as const).map((trainingStatus) =>
      trainingInWords({ ...directory, trainingStatus }),
    );
    expect(told).toEqual(['', '30 trained', '✓ trained', 'in training']);
  });
});
