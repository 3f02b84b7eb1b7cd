/** The platform that a machine is, in the words of OCI, from what Node says of it. */
import * as Platform from "../../spec/Platform.js"

/** What Node says of a machine. */
export interface Machine {
  /** `process.platform`. */
  readonly platform: string
  /** `process.arch`. */
  readonly arch: string
  /** `os.machine()`, which is that of the kernel. */
  readonly machine: string
  /** `os.release()`. */
  readonly release: string
  /** `os.endianness()`. */
  readonly endianness: "BE" | "LE"
}

/** Returns the platform of a machine: with a variant on arm, and a version on Windows. */
export const of = ({
  arch,
  endianness,
  machine,
  platform,
  release
}: Machine): Platform.Platform => {
  const os = systems[platform] ?? platform
  const isLittle = endianness === "LE"
  const architecture =
    arch === "ppc64" ? (isLittle ? "ppc64le" : "ppc64") : (architectures[arch] ?? arch)
  // A process of 32 bits may run on a kernel of 64, which is of v8.
  const variant = arch === "arm" ? (/^armv([5-8])/.exec(machine)?.[1] ?? is64(machine)) : undefined
  return Platform.make({
    os,
    architecture,
    ...(variant !== undefined && { variant: `v${variant}` }),
    ...(os === "windows" && { "os.version": release })
  })
}

/**
 * Returns the platforms whose images run on a machine, the best first: its own, and elsewhere than
 * on Linux that of the Linux which runs containers there.
 */
export const runnable = (machine: Machine): ReadonlyArray<Platform.Platform> => {
  const own = of(machine)
  const { "os.version": _, ...rest } = own
  return own.os === "linux" ? [own] : [own, Platform.make({ ...rest, os: "linux" })]
}

const is64 = (machine: string) => (/^(aarch64|arm64)/.test(machine) ? "8" : undefined)

/** The values of GOOS that differ from those of `process.platform`. */
const systems: Readonly<Record<string, string>> = { win32: "windows", sunos: "solaris" }

/** The values of GOARCH that differ from those of `process.arch`. */
const architectures: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  mipsel: "mipsle"
}
