/** What a search is for, as the query of its address: whoever comes back to it, or is given it, finds it as it was. */

export interface Searched {
  readonly text: string;
  /** The name of a picture's file. */
  readonly picture: string;
}

/** With its question mark; empty where nothing is looked for yet. Words go before a picture. */
export function searchQuery({ text = '', picture = '' }: Partial<Searched>): string {
  if (text === '' && picture === '') return '';
  return `?${new URLSearchParams(text === '' ? { picture } : { text }).toString()}`;
}

export function parseSearch(query: string): Searched {
  const parameters = new URLSearchParams(query);
  return { text: parameters.get('text') ?? '', picture: parameters.get('picture') ?? '' };
}
