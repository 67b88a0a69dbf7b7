/** What a method answers with when a descriptor goes with its reply, attached to the frame's first bytes: SCM_RIGHTS of unix(7). */
export class DescriptorReply {
  readonly body: unknown;
  readonly #send: (bytes: Uint8Array) => number;
  readonly #close: () => void;
  #closed = false;

  /**
   * @param send Sends bytes with the descriptor attached, past the stream, and returns how many went; or throws EAGAIN.
   * @param close Gives our copy of the descriptor back.
   */
  constructor(body: unknown, send: (bytes: Uint8Array) => number, close: () => void) {
    this.body = body;
    this.#send = send;
    this.#close = close;
  }

  /** How many bytes went; 0: the peer has to read first. @throws System errors: there is no peer. */
  send(bytes: Uint8Array): number {
    try {
      return this.#send(bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  }

  /** The reply has left, or never will. Twice is fine. */
  close(): void {
    if (!this.#closed) this.#close();
    this.#closed = true;
  }
}

/** A frame to answer with, and what goes with it. */
export interface AttachedReply {
  readonly frame: Uint8Array;
  readonly attached: DescriptorReply;
}

/** What a request is answered with: a frame, alone or with a descriptor. */
export type Reply = Uint8Array | AttachedReply;
