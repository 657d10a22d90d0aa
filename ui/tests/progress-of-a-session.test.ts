/** How the progress of a session is shown: overall, its way through the phases, and each phase by itself. */

import { render, screen, within } from '@testing-library/svelte';
import { describe, expect, it } from 'vitest';
import type { Phase, Snapshot } from '../src/lib/api/types';
import Overall from '../src/lib/components/Overall.svelte';
import PhaseCard from '../src/lib/components/PhaseCard.svelte';
import Timeline from '../src/lib/components/Timeline.svelte';
import TrainingOnly from '../src/lib/components/TrainingOnly.svelte';
import { completedPhases, phase, phasesOf, snapshot } from './snapshots';

/** In the middle of face detection. */
function midway(changes: Partial<Phase> = {}): Snapshot {
  const completed = completedPhases();
  const faces = phase('face_detection', {
    status: 'processing',
    progress: {
      current: 500,
      total: 1_000,
      percentage: 50,
      etaSeconds: 180,
      imagesPerMinute: 166.4,
      unique: null,
      skipped: 20,
    },
    failed: 3,
    stats: { imagesProcessed: 500, facesDetected: 1_234, imagesOfAnotherModel: 7 },
    model: { id: 'scrfd', name: 'SCRFD-10G + ArcFace r50', pack: 'production', device: 'cuda:0', notice: null },
    ...changes,
  });
  const base = snapshot(5, 'running', { phases: phasesOf(completed.training, faces, phase('clustering')) });
  return { ...base, overallProgress: { ...base.overallProgress, percentage: 62.5, currentPhase: 'face_detection' } };
}

function text(element: Element): string {
  return (element.textContent ?? '').replace(/\s+/g, ' ').trim();
}

describe('overall', () => {
  const at = new Date().setHours(14, 45, 0, 0);

  it('is a bar with its value and text, and the phase in words with its sign', () => {
    render(Overall, { snapshot: midway(), completion: null });
    const bar = screen.getByRole('progressbar', { name: 'Overall progress' });
    expect([bar.getAttribute('aria-valuenow'), bar.getAttribute('aria-valuetext')]).toEqual(['62.5', '62.5%']);
    const now = screen.getByText('Face Detection – Analyzing Faces');
    expect(text(now)).toBe('😊 Face Detection – Analyzing Faces');
    expect(now.getAttribute('aria-live')).toBe('polite');
    expect(screen.getByText('Estimating the time left…')).toBeTruthy();
  });

  it('says when it will be done, with the range while that is uncertain', () => {
    const range = { from: at - 5 * 60_000, to: at + 10 * 60_000 };
    render(Overall, { snapshot: midway(), completion: { at, range } });
    const line = screen.getByText(/^Est\. completion:/).closest('.left');
    expect(line && text(line)).toMatch(/^Est\. completion: 2:45 PM ?·? ?2:40 – 2:55 PM$/);
  });

  it('says that all is complete, and no more when it will be', () => {
    const completed = snapshot(9, 'completed', { phases: completedPhases() });
    render(Overall, { snapshot: completed, completion: { at, range: null } });
    expect(screen.getByText('All Phases Complete')).toBeTruthy();
    expect(screen.getByText('100%')).toBeTruthy();
    expect(screen.queryByText(/Est\. completion/)).toBeNull();
  });
});

it.each([
  ['running', '50 s so far'],
  ['paused', 'after 50 s'],
  ['cancelled', 'after 50 s'],
  ['completed', 'took 50 s'],
] as const)('overall, %s, says how long that has taken', (status, told) => {
  const { overallProgress } = snapshot(1, status);
  const begun = { ...overallProgress, startedAt: '2026-01-12T10:00:00Z', elapsedSeconds: 50 };
  render(Overall, { snapshot: snapshot(1, status, { overallProgress: begun }), completion: null });
  expect(screen.getByText(told)).toBeTruthy();
});

describe('the way through the phases', () => {
  it('says of each phase how it stands, and which it is at', () => {
    render(Timeline, { snapshot: midway() });
    const steps = within(screen.getByRole('list', { name: 'Phases' })).getAllByRole('listitem');
    expect(steps.map(text)).toEqual(['🎨 ✓ Training Complete', '😊 Face Detection Running', '🔗 Clustering Pending']);
    expect(steps.map((step) => step.getAttribute('aria-current'))).toEqual([null, 'step', null]);
    expect(steps.map((step) => step.classList.contains('reached'))).toEqual([false, true, false]);
  });

  it('is at no phase once all are done', () => {
    render(Timeline, { snapshot: snapshot(1, 'completed', { phases: completedPhases() }) });
    expect(screen.getAllByRole('listitem').some((step) => step.hasAttribute('aria-current'))).toBe(false);
  });
});

describe('a phase', () => {
  function show(changes: Partial<Phase> = {}, isStalled = false): HTMLElement {
    const detection = midway(changes).phases.faceDetection;
    render(PhaseCard, { phase: detection, standing: detection.status, isStalled });
    return screen.getByRole('region', { name: 'Face Detection' });
  }

  it('has its bar, counts, rate, time left, what it came to, and what runs it', () => {
    const card = show();
    const told = text(card);
    expect(within(card).getByRole('progressbar').getAttribute('aria-valuetext')).toBe('50.0%');
    for (const each of [
      'Running',
      '1,234 faces found',
      '500 / 1,000 photos',
      '50.0%',
      '166/min',
      'about 3 min left',
      '20 already known · 3 failed · 7 images of another model',
      'SCRFD-10G + ArcFace r50',
      'production pack on cuda:0',
    ]) {
      expect(told).toContain(each);
    }
  });

  it('says why it failed, at once', () => {
    const error = { code: 'service_unavailable', message: 'The service went away and did not come back.' };
    const alert = within(show({ status: 'failed', error })).getByRole('alert');
    expect(text(alert)).toBe('The service went away and did not come back. service_unavailable');
  });

  it('tells no rate and no time left while nothing goes on', () => {
    const told = text(show({}, true));
    expect(told).toContain('Stalled');
    expect(told).not.toContain('Running');
    expect(told).not.toContain('/min');
    expect(told).not.toContain('left');
  });

  it('tells how long it took, or will take', () => {
    expect(text(show({ status: 'completed', elapsedSeconds: 200 }))).toContain('took 3 min 20 s');
    const waiting = phase('clustering', { progress: { ...phase('clustering').progress, etaSeconds: 20 } });
    render(PhaseCard, { phase: waiting, standing: 'pending', isStalled: false });
    const told = text(screen.getByRole('region', { name: 'Clustering' }));
    expect(told).toContain('Pending');
    expect(told).toContain('about 20 s');
  });

  it('says what is done before it begins', () => {
    render(PhaseCard, { phase: phase('training'), standing: 'preparing', isStalled: false });
    const told = text(screen.getByRole('region', { name: 'Training' }));
    expect(told).toContain('Getting ready');
    expect(told).not.toContain('Pending');
  });

  it('says that more faces are grouped than the session found', () => {
    const progress = { ...phase('clustering').progress, current: 40, total: 84 };
    const grouping = phase('clustering', { status: 'running', progress });
    render(PhaseCard, { phase: grouping, standing: 'running', isStalled: false });
    const told = text(screen.getByRole('region', { name: 'Clustering' }));
    expect(told).toContain('40 / 84 faces');
    expect(told).toContain('all faces of the library');
  });
});

it('an older session, which only trained, shows that phase alone', () => {
  const phases = phasesOf(
    completedPhases().training,
    phase('face_detection', { run: 0 }),
    phase('clustering', { run: 0 }),
  );
  render(TrainingOnly, { snapshot: snapshot(1, 'completed', { phases }) });
  expect(screen.getByText('Training Complete')).toBeTruthy();
  expect(screen.getAllByRole('progressbar')).toHaveLength(1);
  expect(screen.getByText(/faces were not looked for/)).toBeTruthy();
});
