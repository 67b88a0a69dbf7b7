/** Says what refused an attempt, as native/proof/attack.c does; the attack then goes on to its next way. */
export function refused(error: unknown): void {
  const { message } = error instanceof Error ? error : { message: String(error) };
  console.log(`refused: ${message.replace(' - Local (undefined:undefined)', '').replace('\0', '@')}`); // Node's addition, and an abstract socket's first byte
}

/** Tries one way in. */
export async function attempt(way: () => unknown): Promise<void> {
  try {
    await way();
  } catch (error) {
    refused(error);
  }
}
