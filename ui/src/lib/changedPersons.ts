/** What a clustering made of people with a name, in words. */

import type { ChangedPerson } from './api/types';
import { count } from './format';

const FACES = (number: number): string => (number === 1 ? '1 face' : `${count(number)} faces`);

/** Who a person's faces went to: the name, or that there is none. */
function other(change: ChangedPerson): string {
  return change.intoName ?? 'somebody without a name';
}

/** What tells a change from all others of its clustering. */
export function changeId({ kind, personId, intoId }: ChangedPerson): string {
  return `${kind} ${personId} ${intoId ?? 'nobody'}`;
}

/** One change: "Ben was merged into Ada (9 faces)". */
export function changeInWords(change: ChangedPerson): string {
  switch (change.kind) {
    case 'merged':
      return `${change.name} was merged into ${other(change)} (${FACES(change.faces)})`;
    case 'split':
      return `${FACES(change.faces)} of ${change.name} went to ${other(change)}`;
    case 'ungrouped':
      return `${change.name} is in no group any more`;
  }
}

/** All changes in one line; `total` may be more than were loaded. */
export function changesInWords(changes: readonly ChangedPerson[], total: number): string {
  const into = new Set(changes.map((change) => change.intoId));
  const [first] = changes;
  const allMerged = changes.length === total && changes.every((change) => change.kind === 'merged');
  if (first && total > 1 && allMerged && into.size === 1) return `${count(total)} people were merged into ${other(first)}`;
  return total === 1 ? '1 change of people with a name' : `${count(total)} changes of people with a name`;
}
