/** Items by what they have in common. */

/** Adds an item to those of a key. */
export const add = <K, A>(groups: Map<K, Array<A>>, key: K, item: A): void => {
  const items = groups.get(key)
  if (items === undefined) groups.set(key, [item])
  else items.push(item)
}
