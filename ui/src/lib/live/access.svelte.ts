/** Whether the gateway asks this page for a token; logging in with one, and out again. */

import { API, onUnauthorized, request } from '../api/client';

/** Remembered for the button alone: what lets the page in is a cookie that no script can read. */
const REMEMBERED_AS = 'triptych.logged-in';

class Access {
  /** A request was refused for want of a token that holds. */
  isAsked = $state(false);
  isLoggedIn = $state(localStorage.getItem(REMEMBERED_AS) !== null);

  /** Throws an ApiError where the token is none that holds. */
  async logIn(token: string): Promise<void> {
    await request(`${API}/access/login`, { method: 'POST', body: { token } });
    localStorage.setItem(REMEMBERED_AS, 'true');
    this.isLoggedIn = true;
    this.isAsked = false;
  }

  async logOut(): Promise<void> {
    await request(`${API}/access/logout`, { method: 'POST' });
    this.#forget();
  }

  refused(): void {
    this.#forget();
  }

  #forget(): void {
    localStorage.removeItem(REMEMBERED_AS);
    this.isLoggedIn = false;
    this.isAsked = true;
  }
}

export const access = new Access();
onUnauthorized(() => {
  access.refused();
});
