/** Histories that have one step for each layer, and those without one between them (S29). */
import type * as ImageConfig from "../../../spec/ImageConfig.js"

type Steps = ReadonlyArray<ImageConfig.History>

/** Whether a step has a layer. */
const hasLayer = ({ empty_layer }: ImageConfig.History): boolean => empty_layer !== true

/**
 * Returns the steps of an image with so many layers. The layers lead: where the history is missing
 * or short, steps that say nothing are added, and those too many become ones without a layer.
 */
export const normalized = (history: Steps = [], layers: number): Steps => {
  let left = layers
  const steps = history.map((step) =>
    hasLayer(step) && left-- <= 0 ? { ...step, empty_layer: true } : step
  )
  return [...steps, ...Array.from({ length: Math.max(0, left) }, () => ({}))]
}

/**
 * Returns the steps that come after those of the base: what follows the last of its layers, without
 * the steps that the base, too, has there.
 */
export const after = (steps: Steps, base: Steps): Steps => {
  const last = base.findLastIndex(hasLayer)
  let left = base.filter(hasLayer).length
  let at = 0
  while (left > 0) if (hasLayer(steps[at++] ?? {})) left--
  for (const step of base.slice(last + 1)) {
    if (JSON.stringify(steps[at]) !== JSON.stringify(step)) break
    at++
  }
  return steps.slice(at)
}
