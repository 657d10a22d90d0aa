/** The buttons of a session: each asks for its own action, once, and what loses something is asked about first. */

import { render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, it, vi } from 'vitest';
import type { Action } from '../src/lib/api/client';
import type { Snapshot } from '../src/lib/api/types';
import SessionButtons from '../src/lib/components/SessionButtons.svelte';
import { completedPhases, phase, phasesOf, snapshot } from './snapshots';

const user = userEvent.setup();

function show(at: Snapshot, disabled = false): (action: Action) => void {
  const onask = vi.fn<(action: Action) => void>();
  render(SessionButtons, { snapshot: at, disabled, onask });
  return onask;
}

function labels(): (string | null)[] {
  return screen.queryAllByRole('button').map(({ textContent }) => textContent);
}

it('asks for what its label says', async () => {
  const onask = show(snapshot(1, 'running'));
  expect(labels()).toEqual(['Pause', 'Cancel']);
  await user.click(screen.getByRole('button', { name: 'Pause' }));
  expect(onask).toHaveBeenCalledExactlyOnceWith('pause');
});

it('asks for nothing while something is being asked', async () => {
  const onask = show(snapshot(1, 'paused'), true);
  await user.click(screen.getByRole('button', { name: 'Resume' }));
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  expect(screen.queryByRole('alertdialog')).toBeNull();
  expect(onask).not.toHaveBeenCalled();
});

it('cancels only once that is confirmed', async () => {
  const onask = show(snapshot(1, 'running'));
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  const dialog = screen.getByRole('alertdialog', { name: 'Cancel this session?' });
  expect(dialog.getAttribute('aria-describedby')).not.toBeNull();
  await user.click(screen.getByRole('button', { name: 'Let it go on' }));
  expect(screen.queryByRole('alertdialog')).toBeNull();
  expect(onask).not.toHaveBeenCalled();

  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  await user.click(screen.getByRole('button', { name: 'Cancel the session' }));
  expect(onask).toHaveBeenCalledExactlyOnceWith('cancel');
});

it('offers to do the phases of a completed session again, and asks first', async () => {
  const onask = show(snapshot(1, 'completed', { phases: completedPhases() }));
  await user.click(screen.getByText('Do again…'));
  expect(labels()).toEqual(['Train again', 'Find faces again', 'Group faces again']);
  await user.click(screen.getByRole('button', { name: 'Find faces again' }));
  expect(onask).not.toHaveBeenCalled();
  expect(screen.getByRole('alertdialog').textContent).toContain('named people keep their names');
  await user.click(screen.getAllByRole('button', { name: 'Find faces again' }).at(-1) ?? document.body);
  expect(onask).toHaveBeenCalledExactlyOnceWith('restartFaces');
});

it('lets the first faces of an older session be found without asking whether they are to be found again', async () => {
  const phases = phasesOf(
    phase('training', { status: 'completed' }),
    phase('face_detection', { run: 0 }),
    phase('clustering', { run: 0 }),
  );
  const onask = show(snapshot(1, 'completed', { phases }));
  await user.click(screen.getByText('Do again…'));
  await user.click(screen.getByRole('button', { name: 'Find faces' }));
  expect(onask).toHaveBeenCalledExactlyOnceWith('restartFaces');
});
