# Compiles all programs and bundles the app. The images of services, router and database copy from this image.
#
#   docker build -f compose/build.Dockerfile -t proofsheet/programs .
#
# The stages are ordered by how rarely they change: tools, dependencies, sources. packed.Dockerfile creates the same
# image from existing builds in seconds.
#
# RUST is a Debian with rustup. Tools that it contains (compose/base creates such an image) are not installed again.
ARG RUST=rust:1-bookworm
FROM ${RUST} AS tools
RUN if ! which nasm node npm pkg-config >/dev/null; then \
        apt-get update \
        && apt-get install -y --no-install-recommends nasm nodejs npm pkg-config \
        && rm -rf /var/lib/apt/lists/*; \
    fi
# Debian's npm cannot read a lock file in which something overrides a dependency on "latest".
RUN npm install --global --no-audit --no-fund --loglevel=error npm@10.9.4
WORKDIR /source
COPY rust-toolchain.toml ./
RUN rustup toolchain install --no-self-update \
    && cargo install --locked cargo-chef@0.1.78
ENV CARGO_TARGET_DIR=/target \
    SQLX_OFFLINE=true
COPY subgraphs/contracts/services.txt subgraphs/contracts/
RUN awk '/^[a-z]/ { print $1 }' subgraphs/contracts/services.txt >/programs \
    && printf '%s\n' backup database-agent objects router >>/programs

# The dependencies: this stage changes with Cargo.toml files and Cargo.lock only.
FROM tools AS plan
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM tools AS dependencies
COPY --from=plan /recipe.json /recipe.json
RUN cargo chef cook --locked --recipe-path /recipe.json --release --bin bundle $(sed 's/^/--bin /' /programs)
RUN cargo chef cook --locked --recipe-path /recipe.json --profile wasm --target wasm32-unknown-unknown --package frontend
COPY xtask/package.json xtask/package-lock.json xtask/
RUN npm ci --prefix xtask --ignore-scripts --no-audit --no-fund --loglevel=error

FROM dependencies AS compiled
COPY . .
# `bundle` bundles the app, and is not part of the images.
RUN cargo build --locked --release --bin bundle $(sed 's/^/--bin /' /programs) \
    && /target/release/bundle
# Files get the date of the commit, so that the same programs give the same layers.
ARG SOURCE_DATE_EPOCH=0
RUN for program in $(cat /programs); do \
        install -D -s "/target/release/$program" "/out/$program/service" || exit 1; \
        compose/sbom "$program" >"/out/$program/sbom.cdx.json" || exit 1; \
    done \
    && cp compose/objects/garage.toml /out/objects/ \
    && mkdir -p /out/site /out/empty \
    && cp -r /target/app /out/site/app \
    && cp -r router/playground/dist /out/site/playground \
    && cp supergraph.graphql /out/site/ \
    && compose/sbom frontend --target wasm32-unknown-unknown >/out/site/app.sbom.cdx.json \
    && find /out -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

FROM scratch
COPY --from=compiled /out /out
