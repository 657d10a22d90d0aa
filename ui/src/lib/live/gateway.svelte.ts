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
  /** How often the gateway came back: pages load anew when this grows. */
  returns = $state(0);

  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAsking = false;

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
    if (!this.away) void this.check();
    return true;
  }

  #reached(): void {
    if (this.away) this.returns += 1;
    this.away = false;
    const services = Object.values(this.health?.services ?? {});
    if (services.some((service) => service.status !== 'ok')) this.#checkAgain();
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
