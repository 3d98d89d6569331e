/** Long work on the event loop's thread, cut into slices, so that the loop is never held for long. */
const sliceMs = 4;
/** Steps between two looks at the clock. */
const stepsPerLook = 8;

export class TimeSlices {
  private sliceStart = performance.now();
  private steps = 0;

  /** Call before each step; true when the loop should get its turn. */
  due(): boolean {
    return ++this.steps % stepsPerLook === 0 && performance.now() - this.sliceStart > sliceMs;
  }

  async yield(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.sliceStart = performance.now();
  }
}
