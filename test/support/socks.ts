/**
 * A SOCKS proxy on a loopback port, of version 5 (RFC 1928, RFC 1929) and 4 with the extension 4a,
 * whose names lead where a test says.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"

export interface Behavior {
  /** User name and password that version 5 demands; none by default. */
  readonly login?: readonly [username: string, password: string]
  /** The reply to every request for a connection, which is made only if there is none, or 0. */
  readonly reply?: number
  /** The port of this machine that every name and address leads to. */
  readonly port: number
  /** Sends what it has to say one byte at a time. */
  readonly slowly?: boolean
  /** How it says where it connected from. */
  readonly bound?: "IPv4" | "IPv6" | "name"
}

const boundAddress = {
  IPv4: [1, 127, 0, 0, 1],
  IPv6: [4, ...Array.from({ length: 15 }, () => 0), 1],
  name: [3, 9, ...Buffer.from("localhost")]
}

/**
 * The proxy, with what each connection asked for: methods, login, and address, such as
 * `0 2 | walter:hunter2 | name registry.test:443`; with version 4, `4 | walter | name …`.
 */
export const socksProxy = (behavior: Behavior) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const open = new Set<Net.Socket>()
    const server = yield* Effect.acquireRelease(
      Effect.async<Net.Server>((resume) => {
        const starting = Net.createServer((socket) => {
          open.add(socket)
          socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket))
          void serveOne(socket, behavior, (line) => log.push(line)).catch(() => socket.destroy())
        })
        starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) =>
        Effect.sync(() => {
          for (const socket of open) socket.destroy()
          running.close()
        })
    )
    const host = `127.0.0.1:${(server.address() as Net.AddressInfo).port}`
    return { host, log, open }
  })

const serveOne = async (
  socket: Net.Socket,
  behavior: Behavior,
  log: (line: string) => void
): Promise<unknown> => {
  const read = async (length: number): Promise<Buffer> => {
    for (;;) {
      const bytes: Buffer | null = socket.read(length)
      if (bytes !== null) return bytes
      if (socket.readableEnded) throw new Error("the client went away")
      await new Promise((resolve, reject) => {
        socket.once("readable", resolve).once("error", reject).once("close", reject)
      })
    }
  }
  const send = async (...bytes: ReadonlyArray<number>) => {
    if (behavior.slowly !== true) {
      socket.write(Uint8Array.from(bytes))
      return
    }
    for (const byte of bytes) {
      socket.write(Uint8Array.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const one = async () => (await read(1))[0] ?? 0

  const parts: Array<string> = []
  const { bound = "IPv4", port, reply = 0 } = behavior
  const lead = (...granted: ReadonlyArray<number>) => {
    const onwards = Net.connect(port, "127.0.0.1", () => {
      void send(...granted).then(() => socket.pipe(onwards).pipe(socket))
    })
    onwards.on("error", () => socket.destroy())
    return socket.on("close", () => onwards.destroy())
  }
  const version = await one()
  if (version === 4) {
    const text = async () => {
      const bytes: Array<number> = []
      for (let byte = await one(); byte !== 0; byte = await one()) bytes.push(byte)
      return String(Buffer.from(bytes))
    }
    if ((await one()) !== 1) return socket.destroy()
    const to = (await read(2)).readUInt16BE()
    const ip = [...(await read(4))].join(".")
    const user = await text()
    const address = ip.startsWith("0.0.0.") ? `name ${await text()}` : `IPv4 ${ip}`
    log(`4 | ${user} | ${address}:${to}`)
    if (reply === 0) return lead(0, 90, 0, 0, 0, 0, 0, 0)
    await send(0, reply, 0, 0, 0, 0, 0, 0)
    return socket.end()
  }
  if (version !== 5) return socket.destroy()
  const methods = [...(await read(await one()))]
  parts.push(methods.join(" "))
  const wanted = behavior.login === undefined ? 0 : 2
  if (!methods.includes(wanted)) {
    log(parts.join(" | "))
    await send(5, 255)
    return socket.end()
  }
  await send(5, wanted)
  if (behavior.login !== undefined) {
    if ((await one()) !== 1) return socket.destroy()
    const length = await one()
    const username = length === 0 ? "" : String(await read(length))
    const size = await one()
    const password = size === 0 ? "" : String(await read(size))
    parts.push(`${username}:${password}`)
    const right = username === behavior.login[0] && password === behavior.login[1]
    await send(1, right ? 0 : 1)
    if (!right) {
      log(parts.join(" | "))
      return socket.end()
    }
  }
  if (String([...(await read(3))]) !== "5,1,0") return socket.destroy()
  const type = await one()
  const address =
    type === 1
      ? `IPv4 ${[...(await read(4))].join(".")}`
      : type === 4
        ? `IPv6 ${(await read(16)).toString("hex")}`
        : `name ${await read(await one())}`
  parts.push(`${address}:${(await read(2)).readUInt16BE()}`)
  log(parts.join(" | "))
  if (reply !== 0) {
    await send(5, reply, 0, ...boundAddress[bound], 0, 0)
    return socket.end()
  }
  return lead(5, 0, 0, ...boundAddress[bound], 0, 80)
}
