# Compiles every program and bundles the app: the image that services, router and database are then cut from.
#
#   docker build -f compose/build.Dockerfile -t proofsheet/programs .
#
# The stages are ordered by how seldom they change: the tools, the dependencies, our own sources. packed.Dockerfile
# gives the same image from programs that were built before, in seconds.
ARG RUST=rust:1-bookworm
FROM ${RUST} AS tools
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake nasm nodejs npm pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY rust-toolchain.toml ./
RUN rustup toolchain install "$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)" --profile minimal \
    --target wasm32-unknown-unknown
RUN cargo install --locked cargo-chef@0.1.78
ENV SQLX_OFFLINE=true CARGO_TARGET_DIR=/target

# What the dependencies are: it changes with Cargo.toml files and Cargo.lock only.
FROM tools AS plan
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM tools AS dependencies
COPY --from=plan /recipe.json /recipe.json
RUN cargo chef cook --release --locked --recipe-path /recipe.json
COPY xtask/package.json xtask/package-lock.json xtask/
RUN npm ci --prefix xtask --ignore-scripts --no-audit --no-fund --loglevel=error

FROM dependencies AS compiled
COPY . .
RUN cargo build --release --locked --bins \
    && /target/release/xtask bundle
RUN for program in authentication comment database-agent photo profile router vote; do \
        install -D -s "/target/release/$program" "/out/$program/service" || exit 1; \
        cargo tree --locked --edges normal --prefix none --no-dedupe --package "$program" \
            | sed 's/ (.*//' | sort -u >"/out/$program/sbom.txt" || exit 1; \
    done \
    && mkdir -p /out/site /out/empty \
    && cp -r /target/app /out/site/app \
    && cp -r router/playground/dist /out/site/playground \
    && cp supergraph.graphql /out/site/

FROM scratch
COPY --from=compiled /out /out
