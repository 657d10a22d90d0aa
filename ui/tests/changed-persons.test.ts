/** What is said of people whom a clustering changed. */

import { describe, expect, it } from 'vitest';
import type { ChangedPerson } from '../src/lib/api/types';
import { changeInWords, changesInWords } from '../src/lib/changedPersons';

function change(kind: ChangedPerson['kind'], values: Partial<ChangedPerson> = {}): ChangedPerson {
  return { kind, personId: 2, name: 'Ben', intoId: 1, intoName: 'Ada', faces: 9, ...values };
}

describe('one change', () => {
  it.each([
    [change('merged'), 'Ben was merged into Ada (9 faces)'],
    [change('merged', { intoName: null, faces: 1 }), 'Ben was merged into somebody without a name (1 face)'],
    [change('split'), '9 faces of Ben went to Ada'],
    [change('ungrouped', { intoId: null, intoName: null, faces: 0 }), 'Ben is in no group any more'],
  ])('is told with its names', (told, words) => {
    expect(changeInWords(told)).toBe(words);
  });
});

describe('all changes', () => {
  it('name the person into whom several were merged', () => {
    const both = [change('merged'), change('merged', { personId: 3, name: 'Cleo' })];
    expect(changesInWords(both, 2)).toBe('2 people were merged into Ada');
  });

  it.each([
    [[change('merged')], 1, '1 change of people with a name'],
    [[change('merged'), change('split')], 2, '2 changes of people with a name'],
    [[change('merged'), change('merged', { intoId: 4, intoName: 'Dora' })], 2, '2 changes of people with a name'],
    [[change('merged'), change('merged')], 120, '120 changes of people with a name'],
  ])('are counted where they differ, or are not all known', (changes, total, words) => {
    expect(changesInWords(changes, total)).toBe(words);
  });
});
