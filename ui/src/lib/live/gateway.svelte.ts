/** Whether the gateway can be reached, and what it says of the services behind it. */

import { GatewayAway, getHealth } from '../api/client';
import type { Health } from '../api/types';

export const RECHECK_MILLISECONDS = 2_000;

/**
 * Asks only when there is cause: at the start, when a request found nobody, when the reader comes back to the page, and
 * again for as long as the gateway or a service behind it is away.
 */
class Gateway {
  away = $state(false);
  health = $state<Health | null>(null);
  /** How often the gateway came back, or answers though a request found nobody: pages load anew when this grows. */
  returns = $state(0);

  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAsking = false;
  /** A request found nobody, and whoever made it waits for the return. */
  #isMissed = false;
  #returning: ReturnType<typeof setTimeout> | undefined;

  async check(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    clearTimeout(this.#timer);
    try {
      this.health = await getHealth();
      this.#reached();
    } catch (error) {
      // An error answer of its own is still an answer: only GatewayAway means that nobody is there.
      if (error instanceof GatewayAway) this.#notReached();
      else this.#reached();
    } finally {
      this.#isAsking = false;
    }
  }

  /** Takes note of a failed request, if it failed for want of a gateway. True if so. */
  noticed(error: unknown): boolean {
    if (!(error instanceof GatewayAway)) return false;
    this.#isMissed = true;
    if (!this.away) void this.check();
    return true;
  }

  #reached(): void {
    if (this.away) this.#return();
    else if (this.#isMissed) this.#returnSoon();
    this.away = false;
    this.#isMissed = false;
    const services = Object.values(this.health?.services ?? {});
    if (services.some((service) => service.status !== 'ok')) this.#checkAgain();
  }

  #return(): void {
    clearTimeout(this.#returning);
    this.returns += 1;
  }

  /** One request was lost, or took too long: it is made again, but not at once, as it may be lost again. */
  #returnSoon(): void {
    clearTimeout(this.#returning);
    this.#returning = setTimeout(() => {
      this.#return();
    }, RECHECK_MILLISECONDS);
  }

  #notReached(): void {
    this.away = true;
    this.#checkAgain();
  }

  #checkAgain(): void {
    this.#timer = setTimeout(() => void this.check(), RECHECK_MILLISECONDS);
  }
}

export const gateway = new Gateway();
