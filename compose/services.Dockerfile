# A small image of a service, with the programs of build.Dockerfile (or packed.Dockerfile). The name and the port are
# those in subgraphs/contracts/services.txt:
#
#   docker build -f compose/services.Dockerfile --build-arg SERVICE=vote --build-arg PORT=5003 -t proofsheet/vote .
#
# BASE needs the C library, certificates and a user 65532: distroless/cc, a mirror of it, or the result of
# compose/base.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG PROGRAMS=proofsheet/programs
FROM ${PROGRAMS} AS programs

FROM ${BASE}
ARG REVISION=unknown
ARG SERVICE
ARG PORT
LABEL org.opencontainers.image.title="Proofsheet ${SERVICE}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="Proofsheet" \
      org.proofsheet.sbom="/sbom.cdx.json"
USER 65532:65532
WORKDIR /
ENV LISTEN=0.0.0.0:${PORT}
# The volume of photo: a new one gets the owner of this folder.
COPY --from=programs --chown=65532:65532 /out/empty /media
COPY --from=programs /out/${SERVICE} /
# Reports that the process responds. It does not check the database, because a restart would not help against its
# outage. The start period includes the migrations of an upgrade.
HEALTHCHECK --interval=5s --timeout=10s --start-period=120s --retries=5 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["serve"]
