/** What is said of a session in each of its states. */

import { describe, expect, it } from 'vitest';
import type { Model, OverallProgress } from '../src/lib/api/types';
import { headline, offers, stallInWords, timeLeft } from '../src/lib/wording';
import { phase, phasesOf, snapshot } from './snapshots';

function model(id: string, pack: string): Model {
  return { id, name: null, pack, device: 'cpu', notice: null };
}

function running(
  currentPhase: OverallProgress['currentPhase'],
  training = phase('training', { status: 'running' }),
): string {
  const base = snapshot(1, 'running');
  const { sign, text } = headline({
    ...base,
    overallProgress: { ...base.overallProgress, currentPhase },
    phases: { ...base.phases, training },
  });
  return `${sign} ${text}`;
}

describe('headline', () => {
  it('names each phase under way with its sign', () => {
    expect(running('face_detection')).toBe('😊 Face Detection – Analyzing Faces');
    expect(running('clustering')).toBe('🔗 Clustering – Grouping Similar Faces');
  });

  it.each([
    [model('open_clip/ViT-B-32/laion2b_s34b_b79k', 'production'), 'Generating CLIP Embeddings'],
    [model('ViT-B-32', 'production'), 'Generating CLIP Embeddings'],
    [model('mobilenet-v2-imagenet', 'bundled'), 'Generating Embeddings (mobilenet-v2-imagenet)'],
    [null, 'Generating Embeddings'],
  ])('says CLIP only where CLIP is at work', (at, activity) => {
    const training = phase('training', { status: 'running', model: at });
    expect(running('training', training)).toBe(`🎨 Training – ${activity}`);
  });

  it('says that photos are being looked for before the first phase begins', () => {
    expect(running('training', phase('training'))).toBe('🔎 Looking for photos');
  });

  it('does not say that all is complete before the session is', () => {
    expect(running('completed')).toBe('🔗 Clustering – Grouping Similar Faces');
    expect(headline(snapshot(1, 'completed'))).toEqual({ sign: '✓', text: 'All Phases Complete' });
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

  it('is to try failed photos again where there are some', () => {
    const phases = { ...done, training: phase('training', { status: 'completed', failed: 2 }) };
    expect(offers(snapshot(1, 'completed', { phases })).again[0]).toEqual({
      action: 'retryFailed',
      label: 'Try failed photos again',
    });
  });
});
