# The toolchain stays in the first stage; the second holds one binary and Ceph's client libraries.
# scripts/chroot-check runs the steps of the second one without a container engine.

FROM rust:1-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends librbd-dev librados-dev libssl-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates librbd1 librados2 libssl3 \
 && rm -rf /var/lib/apt/lists/*
# Fixed numbers, so that the owner of files on a volume is the same in every version. Ceph keyrings that are
# mounted must be readable by them.
RUN groupadd --gid 8080 pumice \
 && useradd --uid 8080 --gid pumice --home-dir /var/lib/pumice --create-home --shell /usr/sbin/nologin pumice
COPY --from=build /src/target/release/pumice /usr/local/bin/pumice
# Relative paths of the configuration start here: everything that lasts is below.
WORKDIR /var/lib/pumice
VOLUME /var/lib/pumice
# Who may reach the port is decided by how it is published.
ENV PUMICE_API__LISTEN=0.0.0.0:8080
EXPOSE 8080
USER pumice
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["pumice", "health"]
ENTRYPOINT ["pumice"]
CMD ["serve"]
