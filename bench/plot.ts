/** A bar chart as SVG text, without a dependency. */

interface Group {
  readonly label: string
  readonly bars: ReadonlyArray<readonly [label: string, seconds: number]>
}

const escape = (text: string): string =>
  text.replace(/[<>&"]/g, (found) => `&#${found.charCodeAt(0)};`)

/** Seconds as horizontal bars, in groups that belong together. */
export const plot = (groups: ReadonlyArray<Group>): string => {
  const longest = Math.max(...groups.flatMap(({ bars }) => bars.map(([, seconds]) => seconds)))
  const height = groups.reduce((sum, { bars }) => sum + 34 + bars.length * 22, 10)
  let y = 0
  const body = groups.flatMap(({ bars, label }) => {
    y += 24
    const title = `<text x="10" y="${y}" font-weight="bold">${escape(label)}</text>`
    const rows = bars.map(([name, seconds], index) => {
      y += 22
      const width = Math.max(1, (seconds / longest) * 420)
      const fill = index === 0 ? "#2563eb" : "#9ca3af"
      const end = (306 + width).toFixed(1)
      return [
        `<text x="10" y="${y - 1}">${escape(name)}</text>`,
        `<rect x="300" y="${y - 13}" width="${width.toFixed(1)}" height="16" fill="${fill}"/>`,
        `<text x="${end}" y="${y - 1}">${seconds.toFixed(2)} s</text>`
      ].join("")
    })
    y += 10
    return [title, ...rows]
  })
  const svg = `xmlns="http://www.w3.org/2000/svg" width="800" height="${height}"`
  return [
    `<svg ${svg} font-family="sans-serif" font-size="13">`,
    "<title>Seconds, effect-oci beside its references</title>",
    `<rect width="100%" height="100%" fill="white"/>\n${body.join("\n")}\n</svg>\n`
  ].join("")
}
