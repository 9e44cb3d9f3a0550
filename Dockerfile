# callmask in a small image that runs as nobody in particular.
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY configs ./configs
# The test targets are named in Cargo.toml, so cargo wants to see them.
COPY sip-tests ./sip-tests
RUN cargo build --release --locked --bin callmask

# The two ends of docker-compose.yml's trial call.
FROM debian:bookworm-slim AS sipp
RUN apt-get update && apt-get install -y --no-install-recommends sip-tester && rm -rf /var/lib/apt/lists/*
USER nobody
WORKDIR /tmp
ENTRYPOINT ["sipp"]

FROM debian:bookworm-slim AS callmask
RUN useradd --system --uid 10001 --home-dir /var/lib/callmask --create-home callmask
COPY --from=build /src/target/release/callmask /usr/local/bin/callmask
COPY configs /etc/callmask
USER callmask
WORKDIR /var/lib/callmask
VOLUME /var/lib/callmask
# SIP, the API, RTP and RTCP.
EXPOSE 5060/udp 8080/tcp 20000-20199/udp
STOPSIGNAL SIGTERM
ENTRYPOINT ["callmask"]
CMD ["--config", "/etc/callmask/callmask.toml", "serve"]
