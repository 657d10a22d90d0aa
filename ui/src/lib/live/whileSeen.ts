/** What a page shows and nobody tells it of: looked at again and again, but only while the page can be seen. */

/**
 * Asks at once, each time the reader comes back to the page, and so long after each answer; never twice at a time.
 * Returns what ends it, and aborts the question that is on its way.
 */
export function whileSeen(ask: (signal: AbortSignal) => Promise<void>, everyMilliseconds: number): () => void {
  const ended = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isAsking = false;

  async function askNow(): Promise<void> {
    if (isAsking) return;
    clearTimeout(timer);
    isAsking = true;
    try {
      await ask(ended.signal);
    } finally {
      isAsking = false;
    }
    if (!ended.signal.aborted) timer = setTimeout(askIfSeen, everyMilliseconds);
  }

  function askIfSeen(): void {
    if (document.visibilityState === 'visible') void askNow();
  }

  document.addEventListener('visibilitychange', askIfSeen, { signal: ended.signal });
  void askNow();
  return () => {
    clearTimeout(timer);
    ended.abort();
  };
}
