/** One sentence of something that was done: told on the page that it led to, until the reader closes it or goes on. */

class Announcement {
  sentence = $state('');
  #address = '';

  say(sentence: string): void {
    this.sentence = sentence;
    this.#address = location.hash;
  }

  /** To be called when the address has changed. */
  moved(): void {
    if (location.hash !== this.#address) this.close();
  }

  close(): void {
    this.sentence = '';
  }
}

export const announcement = new Announcement();
