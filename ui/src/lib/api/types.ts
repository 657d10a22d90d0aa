/** The gateway's answers, as the REST contract names them. Times are ISO 8601 in UTC. */

export type OverallStatus = 'pending' | 'running' | 'paused' | 'completed' | 'failed' | 'cancelled';
export type SessionStatus = OverallStatus | 'discovering';
export type PhaseStatus = OverallStatus | 'processing';
export type PhaseName = 'training' | 'face_detection' | 'clustering';
export type Confidence = 'low' | 'medium' | 'high';

export interface Page<Item> {
  items: Item[];
  total: number;
  page: number;
  pageSize: number;
  hasMore: boolean;
}

export interface Session {
  id: number;
  name: string;
  status: SessionStatus;
  rootPath: string;
  totalImages: number;
  processedImages: number;
  failedImages: number;
  skippedImages: number;
  createdAt: string;
  startedAt: string | null;
  completedAt: string | null;
  pausedAt: string | null;
}

export interface NewSession {
  name: string;
  rootPath: string;
}

/** What runs a phase: a model's id and name, its pack, its device, and a sentence that must be shown with its results. */
export interface Model {
  id: string;
  name?: string | null;
  pack: string;
  device: string;
  notice: string | null;
}

export interface Stats {
  current: number;
  total: number;
  /** 0 to 100. */
  percentage: number;
  etaSeconds: number | null;
  imagesPerMinute: number | null;
  unique: number | null;
  skipped: number | null;
}

export interface Phase {
  name: PhaseName;
  status: PhaseStatus;
  progress: Stats;
  /** Share of the whole, 0 to 1. */
  weight: number;
  failed: number;
  error: { code: string; message: string } | null;
  stats: Record<string, number>;
  model: Model | null;
  elapsedSeconds: number | null;
  startedAt: string | null;
  completedAt: string | null;
}

export interface Phases {
  training: Phase;
  faceDetection: Phase;
  clustering: Phase;
}

/** That nothing goes on where it should. */
export interface Stall {
  phase: PhaseName;
  /** When work was last seen. */
  since: string;
  seconds: number;
  /** One sentence, with the reason as far as it is known. */
  message: string;
}

export interface OverallProgress {
  /** 0 to 100; 100 only when the session is completed. */
  percentage: number;
  etaSeconds: number | null;
  etaLowSeconds: number | null;
  etaHighSeconds: number | null;
  etaConfidence: Confidence | null;
  /** While it lasts, the ETA stands still. */
  stall: Stall | null;
  currentPhase: PhaseName | 'completed';
  startedAt: string | null;
  elapsedSeconds: number | null;
}

/** The whole progress of one session at one moment. */
export interface Snapshot {
  sessionId: number;
  /** Only grows. */
  revision: number;
  updatedAt: string;
  /** The counts may lag, because the service that keeps them is away. */
  stale: boolean;
  overallStatus: OverallStatus;
  overallProgress: OverallProgress;
  phases: Phases;
}

/** One photo of a session. */
export interface Job {
  id: number;
  assetId: number | null;
  status: string;
  imagePath: string;
  errorMessage: string | null;
  errorCode: string | null;
  errorPhase: PhaseName | null;
}

export interface Face {
  id: number;
  assetId: number;
  box: { x: number; y: number; width: number; height: number };
  score: number;
  probability: number | null;
  imageUrl: string;
  cropUrl: string;
}

/** Faces that clustering holds to be one person. */
export interface Group {
  id: number;
  faceCount: number;
  cohesion: number | null;
  personId: number | null;
  model: string | null;
  sampleFaces: Face[];
}

export interface ServiceHealth {
  status: 'ok' | 'away';
  model?: string | null;
  device?: string | null;
  pack?: string | null;
}

export interface Health {
  status: string;
  services?: Record<string, ServiceHealth>;
}

/** Whether nothing more happens in a session until somebody acts. */
export function isTerminal(status: SessionStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

/** Whether work goes on: discovery belongs to it, though it is no phase. */
export function isRunning(status: SessionStatus): boolean {
  return status === 'running' || status === 'discovering';
}
