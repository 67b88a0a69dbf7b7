/** Imported for the import's sake: see warm-up.ts. */
export default (): void => {};
