/**
 * OCI registries as Effect programs. Each module is an import path of its own as well:
 * `effect-oci/Reference`. Comments in the code cite rules by short ids, which are listed in
 * `docs/rules.md` of the repository.
 *
 * @since 0.1.0
 */

/**
 * Authorization as a decorator of an `HttpClient`, one for each demand.
 *
 * @since 0.1.0
 */
export * as Authorization from "./auth/Authorization.js"
/**
 * The credentials that `podman pull`, `skopeo` and `buildah` use on a machine: the files that
 * `podman login` writes.
 *
 * @since 0.1.0
 */
export * as ContainersAuth from "./auth/ContainersAuth.js"
/**
 * Credential helpers: programs named `docker-credential-…` that keep passwords in the keychain of a
 * system or obtain them from a cloud.
 *
 * @since 0.1.0
 */
export * as CredentialHelper from "./auth/CredentialHelper.js"
/**
 * Who sends the requests: the service that finds a credential for a request, and its simple
 * sources.
 *
 * @since 0.1.0
 */
export * as Credentials from "./auth/Credentials.js"
/**
 * The credentials that `docker pull` uses on a machine: `DOCKER_AUTH_CONFIG`, and the files that
 * `docker login` writes.
 *
 * @since 0.1.0
 */
export * as DockerConfig from "./auth/DockerConfig.js"
/**
 * What was learnt from registries and token servers: the challenges of each registry, and the
 * tokens in use.
 *
 * @since 0.1.0
 */
export * as TokenCache from "./auth/TokenCache.js"
/**
 * Bytes to upload that can be opened at any offset, so that an upload which resumes does not read
 * everything again.
 *
 * @since 0.1.0
 */
export * as BlobSource from "./BlobSource.js"
/**
 * Streams of bytes: to count, cut, collect and verify them, without an Effect per chunk and without
 * more memory than asked for.
 *
 * @since 0.1.0
 */
export * as ByteStream from "./ByteStream.js"
/**
 * How the layers of images that are built are compressed: by encoders that are handed in, since
 * platforms have none in common. `effect-oci/node` has them.
 *
 * @since 0.1.0
 */
export * as Compression from "./Compression.js"
/**
 * What a registry offers beyond the endpoints of the specification: its
 * [extensions](https://github.com/opencontainers/distribution-spec/blob/main/extensions/README.md),
 * as it lists them itself.
 *
 * @since 0.1.0
 */
export * as Extensions from "./client/Extensions.js"
/**
 * The client of registries: `Registry` over HTTP.
 *
 * @since 0.1.0
 */
export * as RegistryClient from "./client/RegistryClient.js"
/**
 * Requests to a registry in the terms of HTTP: for what `Registry` has no operation for, such as
 * extensions and a vendor's own API, and for programs that want to see each response.
 *
 * @since 0.1.0
 */
export * as Request from "./client/Request.js"
/**
 * What the responses of registries say beside their status: where to go on, which digest the
 * content has, how much of an upload has arrived, what went wrong.
 *
 * @since 0.1.0
 */
export * as Response from "./client/Response.js"
/**
 * Artifacts: files of any kind in a registry, under one manifest with a type of its own.
 *
 * @since 0.1.0
 */
export * as Artifact from "./content/Artifact.js"
/**
 * Copies of images, artifacts and whole repositories between any two registries.
 *
 * @since 0.1.0
 */
export * as Copy from "./content/Copy.js"
/**
 * Images: what they say of themselves without their layers, and the files that their layers make.
 *
 * @since 0.1.0
 */
export * as Image from "./content/Image.js"
/**
 * Images built without a daemon: from nothing or upon a base, of layers of files, with a
 * configuration; other images with changes, or upon another base; and indexes of them. An image to
 * build is a plain value: nothing is read before it is built, and nothing is sent before it is
 * pushed.
 *
 * @since 0.1.0
 */
export * as ImageBuild from "./content/ImageBuild.js"
/**
 * The layers of images: tar archives, most of them compressed.
 *
 * @since 0.1.0
 */
export * as ImageLayer from "./content/ImageLayer.js"

/**
 * Deletes what is not needed any more: old images, by age, by version, by pattern, all but the
 * newest, or without a tag. What is needed stays: the manifests of indexes, what several tags
 * share, and what is attached to images with what it is attached to.
 *
 * `plan` only reads. Its plan says what is going to happen, and why, and `execute` does that and
 * nothing else. `run` does both, the second only if `dryRun` is false. `planFrom` and `executeFrom`
 * take a registry in place of a reference.
 *
 * @since 0.1.0
 */
export * as Prune from "./content/Prune.js"
/**
 * What is attached to images and artifacts: signatures, bills of materials, attestations, and what
 * is attached to those in turn.
 *
 * @since 0.1.0
 */
export * as Referrers from "./content/Referrers.js"
/**
 * Keeps sets of repositories equal, by rules: which repositories, which tags and platforms of them,
 * whether what is attached goes along, and what is removed. The rules are data, which can be read
 * from JSON or YAML; a run of them is a report, and what is repeated by a schedule moves only what
 * is new.
 *
 * @since 0.1.0
 */
export * as Sync from "./content/Sync.js"
/**
 * Chooses among the tags of a repository: those in a range of versions, those that fit a pattern,
 * the newest of them.
 *
 * @since 0.1.0
 */
export * as Tags from "./content/Tags.js"
/**
 * How compressed layers are decompressed: by decoders that are handed in.
 *
 * @since 0.1.0
 */
export * as Decompression from "./Decompression.js"
/**
 * The metrics of this library, as metrics of Effect.
 *
 * @since 0.1.0
 */
export * as Metrics from "./Metrics.js"
/**
 * The scopes of token authentication, `type:name:action,action`, as a small set algebra.
 *
 * @since 0.1.0
 */
export * as AccessScope from "./protocol/AccessScope.js"
/**
 * Byte ranges in their four spellings: the progress of an upload, one chunk of an upload, a range
 * asked for in a download, and the range that was answered.
 *
 * @since 0.1.0
 */
export * as ByteRange from "./protocol/ByteRange.js"
/**
 * What a registry asks for in a 401: the challenges of `WWW-Authenticate` (RFC 9110 section
 * 11.6.1), as registries really send them.
 *
 * @since 0.1.0
 */
export * as Challenge from "./protocol/Challenge.js"
/**
 * Bodies of failed answers.
 *
 * @since 0.1.0
 */
export * as ErrorBody from "./protocol/ErrorBody.js"
/**
 * The `Link` field (RFC 8288), with which registries page lists: `</v2/a/tags/list?last=x>;
 * rel="next"`.
 *
 * @since 0.1.0
 */
export * as Link from "./protocol/Link.js"
/**
 * Every request of the distribution specification as a value: the client sends operations, the
 * server dispatches on them, and authorization, spans and tests read them.
 *
 * @since 0.1.0
 */
export * as Operation from "./protocol/Operation.js"
/**
 * Which URLs of a server may be followed, and which of them may receive credentials: one policy for
 * redirects, upload locations, next pages, token realms and layer URLs.
 *
 * @since 0.1.0
 */
export * as Trust from "./protocol/Trust.js"
/**
 * All registries that a program may meet, by host.
 *
 * @since 0.1.0
 */
export * as Registries from "./Registries.js"
/**
 * The one interface of this package: a record of operations on one registry.
 *
 * @since 0.1.0
 */
export * as Registry from "./Registry.js"
/**
 * Everything a registry operation can fail with, as typed errors.
 *
 * @since 0.1.0
 */
export * as RegistryError from "./RegistryError.js"
/**
 * Faults of a registry server, for tests: what fails, where in a request or response, and how
 * often.
 *
 * @since 0.1.0
 */
export * as Faults from "./server/Faults.js"
/**
 * How registries differ, as switches of a registry server, for tests: Docker Hub, GHCR, ECR, Harbor
 * and others.
 *
 * @since 0.1.0
 */
export * as Quirks from "./server/Quirks.js"
/**
 * A registry server: an HTTP application over any `Registry`, with the endpoints end-1 to end-14 of
 * the distribution specification.
 *
 * @since 0.1.0
 */
export * as RegistryServer from "./server/RegistryServer.js"
/**
 * Who may do what at a registry server: those with a password (`basic`), or those with a token from
 * the server's own token endpoint (`token`), by [Docker's
 * protocol](https://distribution.github.io/distribution/spec/auth/).
 *
 * @since 0.1.0
 */
export * as ServerAuthorization from "./server/ServerAuthorization.js"
/**
 * A token server for another registry, by [Docker's
 * protocol](https://distribution.github.io/distribution/spec/auth/).
 *
 * @since 0.1.0
 */
export * as TokenServer from "./server/TokenServer.js"
/**
 * Annotations: a map of strings to strings that manifests, indexes and descriptors carry
 * (image-spec annotations.md), with the keys that the specification defines.
 *
 * @since 0.1.0
 */
export * as Annotations from "./spec/Annotations.js"
/**
 * The types that tools agree on for artifacts and for what is in them: charts, WebAssembly, bills
 * of materials, signatures, attestations and models.
 *
 * @since 0.1.0
 */
export * as ArtifactType from "./spec/ArtifactType.js"
/**
 * Content descriptors: what some content is, how long it is and which digest it has (image-spec
 * descriptor.md).
 *
 * @since 0.1.0
 */
export * as Descriptor from "./spec/Descriptor.js"
/**
 * Content identifiers, `algorithm:encoded`, as image-spec descriptor.md "Digests" defines them, and
 * the hashes that compute them.
 *
 * @since 0.1.0
 */
export * as Digest from "./spec/Digest.js"
/**
 * The hosts of registries, as people write them: `ghcr.io`, `Registry.LAN:5000`, `[::1]:5000`.
 *
 * @since 0.1.0
 */
export * as Host from "./spec/Host.js"
/**
 * Image configurations: what an image is for, how it was built and how a container of it is run
 * (image-spec config.md).
 *
 * @since 0.1.0
 */
export * as ImageConfig from "./spec/ImageConfig.js"
/**
 * The header of image layouts: the file `oci-layout`, by which a folder or an archive is known as
 * one (image-spec image-layout.md).
 *
 * @since 0.1.0
 */
export * as ImageLayout from "./spec/ImageLayout.js"
/**
 * Manifests: exact bytes, the descriptor computed from them, and a decoded view beside them
 * (image-spec manifest.md and image-index.md).
 *
 * @since 0.1.0
 */
export * as Manifest from "./spec/Manifest.js"
/**
 * The media types of the OCI image specification and of Docker's formats, and the few questions
 * asked of them.
 *
 * @since 0.1.0
 */
export * as MediaType from "./spec/MediaType.js"
/**
 * The platform that an image runs on: a descriptor in an index says it, and users write it as
 * `linux/arm64`.
 *
 * @since 0.1.0
 */
export * as Platform from "./spec/Platform.js"
/**
 * References to content in a registry, as people write them: `ghcr.io/owner/name:tag`, `ubuntu`,
 * `host:5000/a@sha256:…`.
 *
 * @since 0.1.0
 */
export * as Reference from "./spec/Reference.js"
/**
 * Docker's manifests of version 2, schema 1: images as registries had them up to 2016, signed or
 * not.
 *
 * @since 0.1.0
 */
export * as SignedManifest from "./spec/SignedManifest.js"
/**
 * Images in one file: archives of [OCI image
 * layouts](https://github.com/opencontainers/image-spec/blob/main/image-layout.md), which skopeo
 * calls `oci-archive`, and those of `docker save`. An archive that is read is a `Registry` of one
 * repository, from which images are copied as from any other, and images of any registry are
 * written as a stream. `NodeArchive` of `effect-oci/node` does both with files on Node.
 *
 * @since 0.1.0
 */
export * as Archive from "./store/Archive.js"
/**
 * Registries made of other registries. Each is a `Registry`, so they can be put together, served by
 * a `RegistryServer`, and given to any program. Where an operation of the registries that one is
 * made of has no meaning for it, it fails with `Unsupported` instead of passing it on.
 *
 * @since 0.1.0
 */
export * as ComposedRegistry from "./store/ComposedRegistry.js"
/**
 * A registry in folders on a disk: [OCI image
 * layouts](https://github.com/opencontainers/image-spec/blob/main/image-layout.md), which skopeo,
 * podman, buildah and others read and write as well. One layout is one repository, and a tree of
 * layouts is a whole registry. `NodeLayout` of `effect-oci/node` makes them on Node.
 *
 * What is put is on the disk when the operation returns, and is whole or not there, whenever a
 * process ends. Any number of processes, in containers on one volume too, read and write one layout
 * at a time without losing what another has put.
 *
 * @since 0.1.0
 */
export * as LayoutRegistry from "./store/LayoutRegistry.js"
/**
 * A registry in memory, complete and strict: for tests without a network, and as what an embedded
 * server serves.
 *
 * @since 0.1.0
 */
export * as MemoryRegistry from "./store/MemoryRegistry.js"
/**
 * Transfers of blobs: the events that show their progress, the state of an upload session, with
 * which any process can continue it, and uploads as sinks.
 *
 * @since 0.1.0
 */
export * as Transfer from "./Transfer.js"
