/** How fast something goes, in the mean of the last seconds. */

/**
 * Returns the rate after a sample of so many seconds, in which `speed` was measured. Older samples
 * count less and less: half as much after a second and a half. The first one counts alone.
 */
export const smoothed = (rate: number, speed: number, seconds: number): number => {
  const weight = rate === 0 ? 1 : 1 - 2 ** (-seconds / 1.5)
  return rate + weight * (speed - rate)
}
