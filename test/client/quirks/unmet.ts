/** The rest of the collection of quirks: what no row stands for, and why. */

/** The tables of the collection, row by row, and its rules. */
export const places: ReadonlyArray<string> = [
  ...Object.entries({
    "§1": "Docker Hub,GHCR,ECR,ECR public,GCR,ACR,Quay,Harbor,GitLab,Artifactory,Nexus,Gitea,Cloudflare,zot,distribution,others",
    "§2": "Docker Hub,GHCR,ECR,GCR,ACR,Quay,Harbor,GitLab,Artifactory,Nexus,Gitea,Cloudflare,zot,distribution,Apache",
    "§3": "Docker Hub,GHCR,ECR,GAR,ACR,Quay,Harbor,GitLab,Artifactory,Nexus,Gitea,Cloudflare,zot,distribution,all",
    "§4": "Docker Hub,GHCR,ECR,GAR,ACR,Quay,Harbor,GitLab,Artifactory,Nexus,Gitea,Cloudflare,zot,distribution,containerd",
    "§5": "Docker Hub,GHCR,ECR,GCR,ACR,Quay,Harbor,Artifactory,Nexus,Cloudflare,zot,distribution,all",
    "§6": "Docker Hub,GHCR,ECR,Quay,Artifactory,zot,Gitea,ACR,distribution,others,all",
    "§7": "docker.io"
  }).flatMap(([section, names]) => names.split(",").map((name) => `${section} ${name}`)),
  ...Array.from({ length: 20 }, (_, n) => `rule ${n + 1}`)
]

type Unmet = readonly [place: string, difference: string, because: string]

const likeOthers =
  "on the wire this is what the rows of other registries are about, or what the specification says"
const unknown = "the collection does not know, or has not verified it; the rows cover both ways"
const notSent = "no request of this client is of that kind"
const elsewhere = "this is no matter of requests and answers"

export const unmet: ReadonlyArray<Unmet> = [
  [
    "§1 Docker Hub",
    "OAuth 2 by POST as well as GET",
    `${likeOthers}; test/auth/TokenServer.test.ts has both`
  ],
  [
    "§1 Docker Hub",
    "refresh tokens for offline_token=true",
    `${notSent}: docker login is for that`
  ],
  ["§1 GHCR", "user and password in base64 happen to work as a token", notSent],
  ["§1 ECR", "a password lasts twelve hours", "what comes after them has a row"],
  ["§1 GCR", "_json_key and _json_key_base64 as user names", likeOthers],
  ["§1 ACR", "/oauth2/exchange", `${notSent}: az acr login is for that`],
  ["§1 GitLab", "tokens that do not say how long they last", likeOthers],
  ["§1 Artifactory", "token, access_token and expires_in", unknown],
  ["§1 Nexus", "tokens only where a realm is enabled and forceBasicAuth is not", elsewhere],
  ["§1 Gitea", "answers of a token alone", likeOthers],
  ["§1 Cloudflare", "a JWT as the password", likeOthers],
  [
    "§1 zot",
    "delays whoever shows wrong credentials",
    "time until an answer is bounded: test/client/Limits.test.ts"
  ],
  ["§1 zot", "a token server of any kind", likeOthers],
  [
    "§1 others",
    "containers/image deletes with *",
    "what others do; ours has rows at Quay and GitLab"
  ],
  ["§2 GHCR", "HEAD and types as they should be", likeOthers],
  ["§2 ECR", "a generic type for blobs", "no type of a blob is read"],
  ["§2 Quay", "several ranges in one answer, with a boundary of their own", notSent],
  ["§2 Harbor", "401 for public images as well", likeOthers],
  ["§2 Harbor", "may redirect to storage", likeOthers],
  ["§2 GitLab", "redirects to storage, unless opted out", likeOthers],
  ["§2 Artifactory", "redirects to storage, optionally", likeOthers],
  [
    "§2 Artifactory",
    "library/ is not found in remote repositories",
    "the caller names the repository; only Docker Hub's names are completed (§7)"
  ],
  ["§2 Nexus", "documents OCI 1.0 only", elsewhere],
  ["§2 distribution", "ignores q-values", notSent],
  ["§2 distribution", "the digest as ETag, and 304", notSent],
  ["§3 Docker Hub", "a single POST that is not documented", unknown],
  ["§3 Docker Hub", "Docker-Upload-UUID, and zot's Blob-Upload-UUID", "the header is not read"],
  ["§3 GHCR", "a single POST of which nobody knows", unknown],
  ["§3 ECR", "a single POST of which nobody knows", unknown],
  ["§3 ACR", "a single POST of which nobody knows", unknown],
  ["§3 Nexus", "a single POST of which nobody knows", unknown],
  [
    "§3 Quay",
    "Location, Range and UUID with a 416",
    "the upload is asked for its status all the same"
  ],
  ["§3 Harbor", "absolute locations of what was forwarded", likeOthers],
  ["§3 Cloudflare", "416 RANGE_ERROR with Location and Range", likeOthers],
  ["§3 distribution", "no OCI-Chunk-Min-Length", likeOthers],
  ["§4 GHCR", "mounts", unknown],
  ["§4 ACR", "mounts, and deletes by digest, as it should", likeOthers],
  ["§4 GAR", "says that it has referrers", unknown],
  ["§4 GitLab", "an older route for the deletion of tags", `${notSent}: it is in no specification`],
  ["§4 GitLab", "referrers", unknown],
  [
    "§4 Artifactory",
    "mounts and deletes as it should, has referrers where they are enabled",
    likeOthers
  ],
  ["§4 Nexus", "mounts and deletes as it should, documents OCI 1.0 only", likeOthers],
  ["§4 Gitea", "referrers", unknown],
  ["§4 Cloudflare", "at most 1000 referrers on a page", notSent],
  ["§4 zot", "from without mount", notSent],
  ["§5 Harbor", "all tags but for whoever asks for pages", likeOthers],
  ["§5 Artifactory", "a catalog", likeOthers],
  [
    "§6 all",
    "the statuses and codes that other clients retry",
    "ours have rows, and test/client/Retry.test.ts"
  ],
  [
    "§7 docker.io",
    "a stricter grammar than OCI's",
    "the registry refuses what does not fit; ours is OCI's (C10)"
  ]
]
