/** A progress stream that a test opens, speaks through and breaks. */

import type { Snapshot } from '../src/lib/api/types';

export class FakeStream extends EventTarget {
  isOpen = true;

  close(): void {
    this.isOpen = false;
  }

  open(): void {
    this.dispatchEvent(new Event('open'));
  }

  say(name: 'progress' | 'complete' | 'error', data: Snapshot): void {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
  }

  breakOff(): void {
    this.dispatchEvent(new Event('error'));
  }
}
