/** Asking the gateway for something that it may refuse, or that may find no gateway. */

import { ApiError, GatewayAway } from '../api/client';
import { gateway } from './gateway.svelte';

/** What to tell the reader when it is done: nothing where it went well, or where the request was withdrawn. */
export async function attempt(act: () => Promise<void>, signal?: AbortSignal): Promise<string> {
  try {
    await act();
    return '';
  } catch (error) {
    if (signal?.aborted) return '';
    if (!(error instanceof ApiError || error instanceof GatewayAway)) throw error;
    gateway.noticed(error);
    return error.message;
  }
}
