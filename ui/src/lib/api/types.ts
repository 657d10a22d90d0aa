/** The gateway's answers and requests, by short names: schema.d.ts is generated from docs/openapi.json. */

import type { components } from './schema';

type Schemas = components['schemas'];

export type OverallStatus = Schemas['OverallStatus'];
export type SessionStatus = Schemas['SessionStatus'];
export type PhaseStatus = Schemas['PhaseStatus'];
export type PhaseName = Schemas['PhaseName'];

export type Session = Schemas['Session'];
export type NewSession = Schemas['SessionCreate'];
export type Restart = Schemas['Restart'];

/** A directory under the media roots, with what of it is trained. */
export type Directory = Schemas['Directory'];
export type TrainingStatus = Schemas['TrainingStatus'];
export type DirectoryPreview = Schemas['DirectoryPreview'];
export type Category = Schemas['Category'];

/** The whole progress of one session at one moment. */
export type Snapshot = Schemas['UnifiedProgress'];
export type OverallProgress = Schemas['OverallProgress'];
export type Phase = Schemas['PhaseProgress'];
/** What runs a phase. Its notice must be shown with its results. */
export type Model = Schemas['Model'];
/** That nothing goes on where it should. */
export type Stall = Schemas['Stall'];

/** One photo of a session. */
export type Job = Schemas['Job'];
/** A folder or a file that could not be looked at. */
export type Problem = Schemas['Problem'];
export type Face = Schemas['Face'];
/** Faces that clustering holds to be one person. */
export type Group = Schemas['Group'];
/** Who a group is, once a person has looked: it survives that faces are grouped again. */
export type Person = Schemas['Person'];
export type PersonFilter = Schemas['PersonFilter'];
export type PersonChange = Schemas['PersonChange'];
/** Somebody or something that is to be forgotten, or is. */
export type Forgetting = Schemas['Forgetting'];
/** That a clustering made somebody else of some of a person's faces. */
export type ChangedPerson = Schemas['ChangedPerson'];
/** A photo of the library. */
export type Asset = Schemas['Asset'];
export type SearchResults = Schemas['SearchResults'];
export type Health = Schemas['Health'];

/** A page of a list. */
export type Page<Item> = Omit<Schemas['Page_Session_'], 'items'> & { items: Item[] };

/** Whether nothing more happens in a session until somebody acts. */
export function isTerminal(status: SessionStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

/** Whether work goes on: discovery belongs to it, though it is no phase. */
export function isRunning(status: SessionStatus): boolean {
  return status === 'running' || status === 'discovering';
}
