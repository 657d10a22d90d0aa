/** What is asked before people are made one: who they become, and which names are given up. */

import type { Person } from './api/types';
import { countOf } from './format';
import { personName, type Confirmation } from './wording';

type Merged = Pick<Person, 'id' | 'name' | 'faceCount'>;

/**
 * Whose place it is when these are made one, the first of them being the one that is asked: who has a name; of several,
 * or where none has, the one with most faces; of equals the first, then the oldest. The gateway decides by the same rule.
 */
export function survivorOf<Somebody extends Merged>(people: readonly Somebody[]): Somebody | undefined {
  const [first] = people;
  const named = people.filter(({ name }) => name !== null);
  return [...(named.length > 0 ? named : people)].sort(
    (one, other) =>
      other.faceCount - one.faceCount || Number(other === first) - Number(one === first) || one.id - other.id,
  )[0];
}

export function mergingPeople(people: readonly Merged[]): Confirmation {
  const survivor = survivorOf(people);
  const faces = countOf(
    people.reduce((sum, { faceCount }) => sum + faceCount, 0),
    'face',
    'faces',
  );
  const who = survivor?.name ?? 'one person, still without a name';
  const lost = [...new Set(people.flatMap(({ name }) => (name !== null && name !== survivor?.name ? [name] : [])))];
  const givenUp =
    lost.length === 0 ? '' : ` The ${lost.length === 1 ? 'name' : 'names'} ${lost.join(', ')} ${lost.length === 1 ? 'is' : 'are'} given up.`;
  return {
    question: people.length === 2 ? 'Are these two one person?' : `Are these ${people.length} one person?`,
    consequence: `They become ${who}, with ${faces} in all.${givenUp} It cannot be undone at once: faces can only be taken out again one by one.`,
    yes: 'Same person',
    no: 'Leave them apart',
  };
}

export function mergedInWords(person: Merged): string {
  return `They are one now: ${personName(person)}, with ${countOf(person.faceCount, 'face', 'faces')}.`;
}
