/** What tests of components need besides jsdom. */

import { configure } from '@testing-library/svelte';

// Long enough for a busy machine.
configure({ asyncUtilTimeout: 10_000 });

// jsdom knows dialogs, but not how to open and close them: https://github.com/jsdom/jsdom/issues/3294
HTMLDialogElement.prototype.showModal = function showModal(): void {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close(): void {
  this.open = false;
  this.dispatchEvent(new Event('close'));
};
