/** Who people become when they are made one: as the gateway decides it, and told before it is done. */

import { describe, expect, it } from 'vitest';
import { mergedInWords, mergingPeople, survivorOf } from '../src/lib/merging';

function person(id: number, name: string | null, faceCount: number): { id: number; name: string | null; faceCount: number } {
  return { id, name, faceCount };
}

describe('whose place it is', () => {
  it.each([
    ['who has a name', [person(1, null, 90), person(2, 'Ada', 2)], 2],
    ['of several with a name the one with most faces', [person(1, 'Ada', 3), person(2, 'Ben', 9), person(3, null, 20)], 2],
    ['where none has a name the one with most faces', [person(1, null, 3), person(2, null, 9)], 2],
    ['of equals the first', [person(5, null, 3), person(2, null, 3), person(1, null, 3)], 5],
    ['of other equals the oldest', [person(5, null, 1), person(4, null, 3), person(2, null, 3)], 2],
  ])('is that of %s', (_what, people, id) => {
    expect(survivorOf(people)?.id).toBe(id);
  });
});

describe('what is asked', () => {
  it('says which name stays, which are given up, and that it is not undone at once', () => {
    const asked = mergingPeople([person(1, 'Ada', 9), person(2, 'Ben', 3), person(3, null, 1)]);
    expect(asked.question).toBe('Are these 3 one person?');
    expect(asked.consequence).toContain('They become Ada, with 13 faces in all. The name Ben is given up.');
    expect(asked.consequence).toContain('cannot be undone at once');
  });

  it('speaks of no name where there is none, and gives up none that stays', () => {
    expect(mergingPeople([person(1, null, 2), person(2, null, 1)]).consequence).toContain('one person, still without a name');
    expect(mergingPeople([person(1, 'Ada', 2), person(2, 'Ada', 1)]).consequence).not.toContain('given up');
  });
});

it('tells who they are now', () => {
  expect(mergedInWords(person(4, null, 1))).toBe('They are one now: Person 4, with 1 face.');
});
