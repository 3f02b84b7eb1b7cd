/** Options over their defaults. */

/**
 * Some of the members of an options type. A member that is `undefined` counts as absent, whether
 * the program that gives it compiles with `exactOptionalPropertyTypes` or not.
 *
 * @since 0.1.0
 * @category models
 */
export type Overrides<A> = { readonly [K in keyof A]?: A[K] | undefined }

/**
 * Returns `defaults` with the members that `options` has instead. One that is `undefined` leaves
 * the default.
 */
export const withDefaults = <A extends object>(
  defaults: A,
  options: Overrides<A> | undefined
): A => {
  const given = Object.entries(options ?? {}).filter(([, value]) => value !== undefined)
  return { ...defaults, ...Object.fromEntries(given) }
}
