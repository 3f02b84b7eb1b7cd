/** A project with the declarations of this package as its users have them, and its compilers. */
import { execFile } from "node:child_process"
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

const root = join(import.meta.dirname, "../..")

/** The versions of TypeScript that users have. The first is the one that builds the package. */
export const compilers = {
  "TypeScript 5.9": join(root, "node_modules/typescript/bin/tsc"),
  "TypeScript 7": join(root, "node_modules/typescript-7/bin/tsc")
} as const

const run = (
  program: string,
  args: ReadonlyArray<string>,
  cwd: string
): Promise<{ readonly code: unknown; readonly output: string }> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, ...args],
      { cwd, maxBuffer: 1e8 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, output: stdout + stderr })
    )
  })

/** Makes a folder with the package in its node_modules, and calls `use` with it. */
export const withPacked = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = await mkdtemp(join(tmpdir(), "effect-oci-types-"))
  try {
    const target = join(folder, "node_modules/effect-oci")
    await mkdir(target, { recursive: true })
    const emitted = await run(
      compilers["TypeScript 7"],
      [
        ...["-p", "tsconfig.build.json", "--outDir", join(target, "dist")],
        ...["--emitDeclarationOnly", "--declarationMap", "false"]
      ],
      root
    )
    if (emitted.code !== 0) throw new Error(emitted.output)
    await cp(join(root, "package.json"), join(target, "package.json"))
    const { dependencies, peerDependencies } = JSON.parse(
      await readFile(join(root, "package.json"), "utf8")
    )
    for (const name of ["@types/node", ...Object.keys({ ...dependencies, ...peerDependencies })]) {
      const link = join(folder, "node_modules", name)
      await mkdir(dirname(link), { recursive: true })
      await symlink(join(root, "node_modules", name), link)
    }
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export interface Diagnostic {
  readonly file: string
  readonly line: number
  readonly message: string
}

/** Compiles `files`, by name, in a project that has the package: strictly, the libraries too. */
export const compile = async (
  folder: string,
  compiler: keyof typeof compilers,
  files: Readonly<Record<string, string>>,
  options: Readonly<Record<string, unknown>>
): Promise<ReadonlyArray<Diagnostic>> => {
  await writeFile(join(folder, "package.json"), `{ "type": "module" }`)
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const compilerOptions = {
    strict: true,
    skipLibCheck: false,
    noEmit: true,
    module: "nodenext",
    target: "es2022",
    types: ["node"],
    ...options
  }
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: Object.keys(files) })
  )
  const { code, output } = await run(compilers[compiler], ["--pretty", "false"], folder)
  const found = [...output.matchAll(/^(\S[^(\n]*)\((\d+),\d+\): (.*(?:\n .*)*)/gm)].map(
    ([, file = "", line, message = ""]) => ({ file, line: Number(line), message })
  )
  if (found.length === 0 && code !== 0) throw new Error(output)
  return found
}

/** The settings of users that types may depend on. */
export const settings: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "with exactOptionalPropertyTypes": { exactOptionalPropertyTypes: true },
  "without exactOptionalPropertyTypes": { exactOptionalPropertyTypes: false },
  "in a bundler, with isolated modules": {
    exactOptionalPropertyTypes: true,
    isolatedModules: true,
    verbatimModuleSyntax: true,
    module: "preserve",
    moduleResolution: "bundler"
  }
}
