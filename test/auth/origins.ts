export {
  type Handler,
  json,
  type Outcome as Answer,
  type Seen,
  unauthorized
} from "../support/fake/Handler.js"
export { internet } from "../support/fake/Internet.js"
