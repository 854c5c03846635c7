# syntax=docker/dockerfile:1
FROM rust:1-slim-bookworm AS build
WORKDIR /build
# The dependencies alone first: they change seldom, and this layer is kept until they do.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && mkdir -p tests/it && touch tests/it/main.rs \
    && cargo build --locked --release --bin logzio-api-fetcher \
    && rm -r src
COPY src src
RUN touch src/main.rs src/lib.rs && cargo build --locked --release --bin logzio-api-fetcher

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
LABEL org.opencontainers.image.title="logzio-api-fetcher" \
      org.opencontainers.image.description="Polls REST APIs and ships every record to a Logz.io account, once" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /build/target/release/logzio-api-fetcher /usr/local/bin/
WORKDIR /app
STOPSIGNAL SIGTERM
ENTRYPOINT ["logzio-api-fetcher"]
