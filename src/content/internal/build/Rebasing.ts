/**
 * What an image has of its own beside its base: values that equal the old base's are those of the
 * new one (S30).
 */
import type * as ImageConfig from "../../../spec/ImageConfig.js"
import type { Image } from "../../Image.js"
import * as ConfigChanges from "./ConfigChanges.js"
import { InvalidImage } from "./InvalidImage.js"
import type { ImageBuild } from "./Recipe.js"

/** Returns why an image cannot be put from one base to another, if so. */
export const problemOf = <E, R>(
  { config, layers }: ImageBuild<E, R>,
  from: Image,
  to: Image
): InvalidImage | undefined => {
  // A layer that is new is none of the base's.
  const isBase = from.layers.every(({ diffId }, n) => {
    const layer = layers[n]
    return layer !== undefined && "content" in layer && layer.diffId === (diffId ?? "unknown")
  })
  if (!isBase || from.layers.length === 0)
    return new InvalidImage({
      reason: "Base",
      problem:
        `does not begin with the layers of ${from.reference}: if the tag of its base has moved, ` +
        "pull the base by the digest that it was built on"
    })
  const { architecture, os } = to.config.content
  return os === config.os && architecture === config.architecture
    ? undefined
    : new InvalidImage({
        reason: "Base",
        problem:
          `is for ${config.os}/${config.architecture}, and ${to.reference} is for ` +
          `${os}/${architecture}`
      })
}

/** Returns an object whose members are those of the new base where they equal the old one's. */
export const merged = <A extends object>(own: A, old: A, base: A): A => {
  const members = [own, old, base].map((object) => new Map<string, unknown>(Object.entries(object)))
  const [ofOwn = new Map(), ofOld = new Map(), ofBase = new Map()] = members
  const names = new Set([...ofBase.keys(), ...ofOwn.keys()])
  const entries = [...names].flatMap((name) => {
    const from = isSame(ofOwn.get(name), ofOld.get(name)) ? ofBase : ofOwn
    const value = from.get(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  // A member that the type demands is in two of them, or in the base.
  return Object.fromEntries(entries) as A
}

const isSame = (one: unknown, other: unknown): boolean =>
  one === other || JSON.stringify(one) === JSON.stringify(other)

type Content = ImageBuild["config"]

/** Returns the configuration of an image upon its new base, which says what it runs on. */
export const config = (own: Content, old: Content, base: Content): Content => {
  const { architecture, os } = base
  const { history: _, ...all } = merged(own, old, base)
  return {
    ...all,
    architecture,
    os,
    config: execution(own.config, old.config, base.config)
  }
}

const execution = (
  own: ImageConfig.Execution = {},
  old: ImageConfig.Execution = {},
  base: ImageConfig.Execution = {}
): ImageConfig.Execution => {
  const { Env: _, ExposedPorts: __, Labels: ___, Volumes: ____, ...rest } = merged(own, old, base)
  const maps: ImageConfig.Execution = {
    Env: Object.values(merged(variables(own), variables(old), variables(base))),
    ExposedPorts: merged(own.ExposedPorts ?? {}, old.ExposedPorts ?? {}, base.ExposedPorts ?? {}),
    Labels: merged(own.Labels ?? {}, old.Labels ?? {}, base.Labels ?? {}),
    Volumes: merged(own.Volumes ?? {}, old.Volumes ?? {}, base.Volumes ?? {})
  }
  return {
    ...rest,
    ...Object.fromEntries(Object.entries(maps).filter(([, map]) => Object.keys(map).length > 0))
  }
}

const variables = ({ Env }: ImageConfig.Execution) =>
  Object.fromEntries(ConfigChanges.entriesOf(Env))
