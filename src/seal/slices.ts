/**
 * Long work on the event loop's thread, cut into slices, so that the loop is never held for long. All such work of a thread shares the
 * time of one turn of the loop: several requests, or the stages of one, would otherwise each take a slice of their own in it.
 */
const sliceMs = 2.5;
/** Steps between two looks at the clock. */
const stepsPerLook = 8;

const waiting: (() => void)[] = [];
let turnIsOpen = false;
let turnStart = 0;

function openTurn(): void {
  if (turnIsOpen) return;
  turnIsOpen = true;
  turnStart = performance.now();
  setImmediate(endTurn);
}

/** Lets the one that has waited longest go on; the next comes a turn later. */
function endTurn(): void {
  turnIsOpen = false;
  const next = waiting.shift();
  if (next === undefined) return;
  openTurn();
  next();
}

export class TimeSlices {
  private steps = 0;

  /** Call before each step; true when the loop should get its turn. */
  due(): boolean {
    if (++this.steps % stepsPerLook !== 0) return false;
    openTurn();
    return performance.now() - turnStart > sliceMs;
  }

  async yield(): Promise<void> {
    openTurn();
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
}
