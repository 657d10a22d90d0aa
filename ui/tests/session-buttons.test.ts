/** The buttons of a session: each asks for its own action, and none twice at once. */

import { mount, unmount } from 'svelte';
import { afterEach, expect, it, vi } from 'vitest';
import type { Action } from '../src/lib/api/client';
import type { Snapshot } from '../src/lib/api/types';
import SessionButtons from '../src/lib/components/SessionButtons.svelte';
import { phase, phasesOf, snapshot } from './snapshots';

let mounted: ReturnType<typeof mount> | undefined;

function show(at: Snapshot, disabled = false): { buttons: HTMLButtonElement[]; onask: (action: Action) => void } {
  const onask = vi.fn<(action: Action) => void>();
  mounted = mount(SessionButtons, { target: document.body, props: { snapshot: at, disabled, onask } });
  return { buttons: [...document.body.querySelectorAll('button')], onask };
}

afterEach(async () => {
  if (mounted) await unmount(mounted);
});

it('asks for what its label says', () => {
  const { buttons, onask } = show(snapshot(1, 'running'));
  expect(buttons.map(({ textContent }) => textContent)).toEqual(['Pause', 'Cancel']);
  buttons[0]?.click();
  expect(onask).toHaveBeenCalledExactlyOnceWith('pause');
});

it('asks for nothing while something is being asked', () => {
  const { buttons, onask } = show(snapshot(1, 'paused'), true);
  for (const button of buttons) button.click();
  expect(buttons).toHaveLength(2);
  expect(onask).not.toHaveBeenCalled();
});

it('offers to do the phases of a completed session again', () => {
  const completed = { status: 'completed' } as const;
  const phases = phasesOf(
    phase('training', completed),
    phase('face_detection', completed),
    phase('clustering', completed),
  );
  const { buttons, onask } = show(snapshot(1, 'completed', { phases }));
  buttons.find(({ textContent }) => textContent === 'Find faces again')?.click();
  expect(onask).toHaveBeenCalledExactlyOnceWith('restartFaces');
});
