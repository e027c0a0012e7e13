# The object store: Garage (https://garagehq.deuxfleurs.fr), unchanged, started by a program that reads its secrets
# from files.
#
#   docker build -f compose/objects.Dockerfile -t proofsheet/objects .
#
# GARAGE is an image with the Garage executable: the official one, or one that `compose/base garage` compiles from its
# package.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG GARAGE=dxflrs/garage:v2.5.0
ARG PROGRAMS=proofsheet/programs
FROM ${GARAGE} AS garage
FROM ${PROGRAMS} AS programs

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Proofsheet objects" \
      org.opencontainers.image.licenses="MIT AND AGPL-3.0-only" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://git.deuxfleurs.fr/Deuxfleurs/garage" \
      org.opencontainers.image.vendor="Proofsheet" \
      org.proofsheet.sbom="/sbom.cdx.json"
COPY --from=garage /garage /
# A new volume gets the owner of this folder.
COPY --from=programs --chown=65532:65532 /out/empty /var/lib/objects
COPY --from=programs /out/objects /
# No log lines for health checks.
ENV GARAGE_CONFIG_FILE=/garage.toml NO_COLOR=1 RUST_LOG=warn,garage=info,garage_net=warn,garage_api_admin=warn
USER 65532:65532
WORKDIR /
VOLUME /var/lib/objects
EXPOSE 3900 3903
HEALTHCHECK --interval=5s --timeout=10s --start-period=20s --retries=5 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["run"]
